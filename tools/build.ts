/**
 * `npm run build`: rebuilds dist/ from nothing, so that no file of an earlier build is packed. It holds the
 * sources as a few bundles, because loading some 250 files took half the time of a start; the types that programs can
 * import; and the texts that `--help` and `--version` print.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { READY_ANSWERS_FILE, type ReadyAnswers } from '../src/cli/ready_answers.js';
import { bundleSources } from './bundle_sources.js';
import { helpTexts } from './help_texts.js';
import { suitOlderCompilers } from './older_compilers.js';
import { pruneTypes } from './prune_types.js';

const root = new URL('../', import.meta.url);
const dist = new URL('dist/', root);
rmSync(dist, { recursive: true, force: true });

const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const project = fileURLToPath(new URL('tsconfig.build.json', root));
execFileSync(process.execPath, [compiler, '-p', project, '--emitDeclarationOnly'], { stdio: 'inherit' });
await bundleSources(fileURLToPath(new URL('src/', root)), fileURLToPath(dist));

pruneTypes(fileURLToPath(dist), ['index.d.ts', 'worker/main.d.ts']);
suitOlderCompilers(fileURLToPath(dist));

// npm refuses to run this with a package.json that has no version.
const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string };
const answers: ReadyAnswers = { '--version': `${version}\n`, ...(await helpTexts()) };
writeFileSync(new URL(`cli/${READY_ANSWERS_FILE}`, dist), `${JSON.stringify(answers, null, 1)}\n`);
