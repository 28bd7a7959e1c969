import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { installedPackage } from './installed_package.js';
import { runProgram } from './run_program.js';
import type { TempFolder } from './temp_folder.js';

/** Programs from npm, each installed into a folder of its own below the folder of a test. */
export class NpmTools {
  readonly #npm = join(dirname(installedPackage().npx), 'npm-cli.js');
  readonly #folder: TempFolder;
  /** By the first of their packages. Undefined where npm cannot get them. */
  readonly #tools = new Map<string, string | undefined>();

  constructor(folder: TempFolder) {
    this.#folder = folder;
  }

  /** Installs packages, one after the other, because npm locks its cache. Each list is one tool. */
  async install(...tools: readonly (readonly [string, ...string[]])[]): Promise<void> {
    for (const packages of tools) {
      const to = this.#folder.file(`tools-${this.#tools.size}`);
      mkdirSync(to);
      writeFileSync(join(to, 'package.json'), '{ "private": true }\n');
      const flags = ['--silent', '--no-audit', '--no-fund', '--prefer-offline'];
      const args = [this.#npm, 'install', ...flags, ...packages];
      const { exitCode } = await runProgram(process.execPath, args, { cwd: to, limitMs: 300_000 });
      this.#tools.set(packages[0], exitCode === 0 ? to : undefined);
    }
  }

  /** Returns the folder of a tool, or skips the test. */
  folderOf(name: string, context: TestContext): string | undefined {
    const tool = this.#tools.get(name);
    if (tool === undefined) context.skip(`npm cannot get ${name} here`);
    return tool;
  }
}
