import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import ts from 'typescript';
import { installedPackage } from '../support/installed_package.js';
import { readTar } from '../support/read_tar.js';

const MAX_UNPACKED_BYTES = 2 * 1024 * 1024;

/**
 * The only files that belong in the package. Any other file is one that users do not need or, worse, one that
 * is not ours to publish.
 */
const MAY_BE_PACKED =
  /^package\/(package\.json|(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md|LICENSE|examples\/[a-z_]+\.ts|bench\/([A-Z]+\.md|results\.svg)|docs\/(([a-z-]+\/)*[a-zA-Z_-]+\.md|config\.schema\.json)|wasm\/dist\/(tox\.wasm|build\.json)|dist\/cli\/ready_answers\.json|dist\/shared\/[a-z_]+-[A-Z0-9]{8}\.js|dist\/([a-z0-9_]+\/)*[a-z0-9_]+(\.m?js|\.d\.ts))$/;

const MUST_BE_PACKED = [
  'README.md',
  'LICENSE',
  'wasm/dist/tox.wasm',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/cli/main.js',
  'dist/cli/ready_answers.json',
  'dist/worker/main.mjs',
  'docs/reference/library.md',
  'docs/config.schema.json',
];

/** The scripts that npm runs for a package that it installs from a registry. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'];

const { tarball, user } = installedPackage();
const modules = join(user, 'node_modules');

describe('the tarball', () => {
  const entries = readTar(gunzipSync(readFileSync(tarball)));

  test('contains no file that users do not need', () => {
    assert.deepEqual(
      entries.map(({ name }) => name).filter((name) => !MAY_BE_PACKED.test(name)),
      [],
    );
  });

  test('contains the wasm, the compiled sources with their types, and the docs', () => {
    const names = new Set(entries.map(({ name }) => name));
    assert.deepEqual(
      MUST_BE_PACKED.filter((name) => !names.has(`package/${name}`)),
      [],
    );
  });

  test('contains exactly the types that its entries lead to', () => {
    const types = entries.map(({ name }) => name).filter((name) => name.endsWith('.d.ts'));
    assert.ok(!types.some((name) => name.startsWith('package/dist/cli/')), 'nobody can import these');
    const folder = join(modules, 'tox-wasm-tunnel', 'dist');
    const program = ts.createProgram([join(folder, 'index.d.ts'), join(folder, 'worker', 'main.d.ts')], {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      types: ['node'],
      typeRoots: [join(import.meta.dirname, '..', '..', 'node_modules', '@types')],
      noEmit: true,
    });
    assert.deepEqual(
      ts
        .getPreEmitDiagnostics(program)
        .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')),
      [],
    );
    const used = program.getSourceFiles().map(({ fileName }) => fileName.replaceAll('\\', '/'));
    assert.deepEqual(
      types.filter(
        (name) => !used.some((file) => file.endsWith(name.replace('package/', 'tox-wasm-tunnel/'))),
      ),
      [],
    );
  });

  test('is smaller than 2 MiB when unpacked', () => {
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    assert.ok(bytes < MAX_UNPACKED_BYTES, `${bytes} bytes`);
  });
});

describe('an installation', () => {
  const packages = packagesIn(modules);

  test('contains the package and its dependencies', () => {
    assert.ok(packages.includes(join(modules, 'tox-wasm-tunnel')));
    assert.ok(packages.includes(join(modules, 'comlink')));
  });

  test('runs no script of any package', () => {
    const lock: unknown = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8'));
    assert.doesNotMatch(JSON.stringify(lock), /"hasInstallScript"/);
    for (const folder of packages) {
      const { scripts = {} } = manifestOf(folder);
      assert.deepEqual(
        INSTALL_SCRIPTS.filter((name) => name in scripts),
        [],
        folder,
      );
    }
  });

  test('contains nothing native: no addon, and nothing from which npm would build one', () => {
    const native = packages
      .flatMap((folder) => filesIn(folder))
      .filter((file) => /\.(node|so|dll|dylib|exe|gyp|gypi)$/.test(file));
    assert.deepEqual(native, []);
    for (const folder of packages) assert.notEqual(manifestOf(folder).gypfile, true, folder);
  });
});

interface Manifest {
  readonly scripts?: Readonly<Record<string, string>>;
  readonly gypfile?: boolean;
}

function manifestOf(folder: string): Manifest {
  // Looks only at the fields that npm reads.
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** The folders of all packages below a node_modules. */
function packagesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => !name.startsWith('.'))
    .flatMap((name) => {
      const path = join(folder, name);
      if (name.startsWith('@')) return packagesIn(path);
      const inner = join(path, 'node_modules');
      return existsSync(inner) ? [path, ...packagesIn(inner)] : [path];
    });
}

function filesIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesIn(path) : [path];
  });
}
