import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { completionModel } from '../../src/cli/options/completion_model.js';
import { buildProgram } from '../../src/cli/program.js';
import { CliBench } from '../support/cli_bench.js';
import { everyAction } from '../support/every_action.js';
import { BASH, FISH, skipWithout, ZSH } from '../support/programs.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const grammar = buildProgram(
  everyAction(async () => {}),
  '0',
  { out: () => {} },
);
const COMMANDS = grammar.commands.map((command) => command.name());
const NAMES = ['home', 'homestead', 'work'];

const folder = new TempFolder();
const scripts = new Map<string, string>();

before(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const bench = new CliBench();
    assert.equal(await bench.run('completion', shell), 0);
    const file = folder.file(`completion.${shell}`);
    writeFileSync(file, bench.stdout.text);
    scripts.set(shell, file);
  }
  const bin = folder.file('bin');
  mkdirSync(bin);
  const program = `${bin}/tox-wasm-tunnel`;
  const list = NAMES.map((name) => `${name}\\tticket\\tKEY\\n`).join('');
  writeFileSync(program, `#!/bin/sh\n[ "$1" = list ] && printf '${list}'\n`);
  chmodSync(program, 0o755);
  mkdirSync(folder.file('here/folder'), { recursive: true });
  writeFileSync(folder.file('here/file'), '');
});
after(() => folder.remove());

/** Returns what a shell offers for the last of the words. */
type Ask = (...words: string[]) => Promise<string[]>;

async function offers(command: string, args: readonly string[]): Promise<string[]> {
  const env = { ...process.env, PATH: `${folder.file('bin')}:${process.env['PATH']}`, HOME: folder.path };
  const { stdout, stderr } = await runProgram(command, args, { cwd: folder.file('here'), env });
  assert.equal(stderr, '');
  return stdout.split('\n').filter((line) => line !== '');
}

const inBash: Ask = (...words) =>
  offers('bash', [
    ...['--norc', '-c'],
    `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
     complete -p "$1" >/dev/null || exit 1
     _tox_wasm_tunnel "$1" "\${COMP_WORDS[-1]}"; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ...['bash', scripts.get('bash') ?? '', 'tox-wasm-tunnel', ...words],
  ]);

/** Stand-ins for the functions of zsh's completion that ours calls: they print what fits. */
const ZSH_STUBS = `
  _describe() { local -a items; items=("\${(@P)2}"); local item; for item in "\${items[@]}"; do
    item=\${\${item//\\\\:/@@}%%:*}; item=\${item//@@/:}; [[ $item == "$current"* ]] && print -r -- "$item"; done }
  _files() { print -r -- "files $*" }
  compdef() { [[ $1 == _tox_wasm_tunnel && $2 == tox-wasm-tunnel ]] || print -u2 "compdef $*" }`;

const inZsh: Ask = (...words) =>
  offers('zsh', [
    ...['-f', '-c', `${ZSH_STUBS}; . "$1"; shift; words=("$@"); CURRENT=$#; _tox_wasm_tunnel; true`],
    ...['zsh', scripts.get('zsh') ?? '', 'tox-wasm-tunnel', ...words],
  ]);

const inFish: Ask = async (...words) => {
  const lines = await offers('fish', [
    ...['--no-config', '-c', `source ${scripts.get('fish')}; complete -C "$argv"`],
    ['tox-wasm-tunnel', ...words].join(' '),
  ]);
  return lines.map((line) => line.split('\t')[0] ?? '');
};

const shells = [
  { program: BASH, ask: inBash, files: ['file', 'folder'], folders: ['folder'] },
  { program: ZSH, ask: inZsh, files: ['files '], folders: ['files -/'] },
  { program: FISH, ask: inFish, files: ['file', 'folder/'], folders: ['folder/'] },
];

for (const { program, ask, files, folders } of shells) {
  describe(`${program.name} completes`, { skip: skipWithout(program) }, () => {
    const sorted = async (...words: string[]) => (await ask(...words)).sort();

    test('offers commands and names first', async () => {
      assert.deepEqual(await sorted(''), [...COMMANDS, ...NAMES].sort());
      assert.deepEqual(await sorted('li'), ['list', 'listen']);
      assert.deepEqual(await sorted('hom'), ['home', 'homestead']);
    });

    test('offers names where a command accepts them', async () => {
      for (const command of ['connect', 'ping', 'doctor', 'remove', 'ssh', 'ssh-config'])
        assert.deepEqual(await sorted(command, ''), NAMES, command);
      assert.deepEqual(await sorted('add', ''), []);
      assert.deepEqual(await sorted('listen', ''), []);
    });

    test('offers the actions of a command', async () => {
      assert.deepEqual(await sorted('ticket', ''), ['list', 'new', 'revoke']);
      assert.deepEqual(await sorted('peers', 'de'), ['deny']);
      assert.deepEqual(await sorted('rule', ''), ['add', 'list', 'remove']);
      assert.deepEqual(await sorted('completion', ''), ['bash', 'fish', 'zsh']);
      assert.deepEqual(await sorted('service', ''), ['install']);
    });

    test('offers the options of a command, and the global ones', async () => {
      const optionsOf = (name: string): string[] =>
        (grammar.commands.find((command) => command.name() === name)?.options ?? [])
          .flatMap(({ long }) => long ?? [])
          .concat('--help')
          .sort();
      for (const name of ['node', 'ssh', 'ticket'])
        assert.deepEqual(await sorted(name, '--'), optionsOf(name));
      assert.deepEqual(await sorted('listen', '--max-p'), ['--max-peer-buffer', '--max-peers']);
      assert.deepEqual(await sorted('--max-p'), ['--max-peer-buffer', '--max-peers']);
    });

    test('offers files and folders where an option accepts them, and nothing for other values', async () => {
      assert.deepEqual(await sorted('connect', '--ticket-file', ''), files);
      assert.deepEqual(await sorted('listen', '--state', ''), folders);
      assert.deepEqual(await sorted('listen', '--udp-port', ''), []);
    });

    test('offers names after options with values', async () => {
      assert.deepEqual(await sorted('connect', '--state', 'list', '--no-udp', 'hom'), ['home', 'homestead']);
    });
  });
}

describe('completion', () => {
  test('an unknown shell is refused', async () => {
    const bench = new CliBench();
    assert.equal(await bench.run('completion', 'csh'), 2);
    assert.match(bench.stderr.text, /no completion for "csh"; there is for bash, zsh and fish/);
  });

  test('finds the actions of all commands in the grammar', () => {
    const actions = completionModel(grammar).flatMap((command) => command.actions);
    assert.ok(actions.length >= 12);
    for (const action of actions) assert.match(action, /^[a-z]+$/);
  });
});
