/** A program that a bug crashes prints no secret and leaves none behind. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { formatTicket, parseTicket } from '../../src/access/ticket.js';
import { makeToxId } from '../../src/network/tox_id.js';
import { createIdentity, publicKeyOf } from '../../src/state/identity.js';
import { writeSealedState } from '../support/cheap_state.js';
import { CLI, CliProcess } from '../support/cli_process.js';
import { LOOPBACK } from '../support/private_network.js';
import { assertSilent, saidBy, secretInTicket, spellings } from '../support/secrets.js';
import { TempFolder } from '../support/temp_folder.js';

const PASSPHRASE = 'w7kzq20rjx5vthm8pd3gyb';
/** A bootstrap node that does not run: this test needs no network. */
const NOBODY = `127.0.0.1:1:${'77'.repeat(32)}`;

/** Code that the worker runs besides its own. */
const IN_WORKER = `
  const crash = new BroadcastChannel('crash');
  crash.unref();
  crash.onmessage = () => { throw new Error('a fault in the worker'); };
`;
/** Code that the main thread runs before ours: SIGUSR2 raises a fault in the place named by CRASH_IN. */
const IN_MAIN = `
  import { syncBuiltinESMExports } from 'node:module';
  import threads from 'node:worker_threads';
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(start, options) {
      // The built worker is a file; from the sources it is a piece of code, which makes tsx compile it.
      const code = options.eval === true ? start : 'import(' + JSON.stringify(String(start)) + ')';
      super(${JSON.stringify(IN_WORKER)} + code, { ...options, eval: true });
    }
  };
  syncBuiltinESMExports();
  const crash = new BroadcastChannel('crash');
  crash.unref();
  process.on('SIGUSR2', () => {
    const where = process.env.CRASH_IN;
    if (where === 'worker') crash.postMessage('now');
    else if (where === 'promise') Promise.reject(new Error('a fault in the promise'));
    else throw new Error('a fault in the main thread');
  });
`;
const [node = '', ...rest] = CLI;
const preload = `data:text/javascript,${encodeURIComponent(IN_MAIN)}`;

describe('a crash of the program', () => {
  const folder = new TempFolder();
  const strays: CliProcess[] = [];
  const someone = createIdentity();
  const ticket = formatTicket({
    toxId: makeToxId(publicKeyOf(someone.secretKey), someone.nospam),
    secret: createIdentity().secretKey,
  });
  const env = { TOX_WASM_TUNNEL_PASSPHRASE: PASSPHRASE, TOX_WASM_TUNNEL_TICKET: ticket };
  const passphrase = Buffer.from(PASSPHRASE);

  /** The identities with which the program runs, sealed at the lowest cost of a key. */
  const identities = { listener: createIdentity(), connector: createIdentity() };

  before(async () => {
    mkdirSync(folder.file('reports'));
    for (const role of ['listener', 'connector'] as const)
      await writeSealedState(folder.file(role), role, passphrase, {
        identity: identities[role],
        access: undefined,
      });
  });
  after(async () => {
    await Promise.all(strays.map((process) => process.stop('SIGKILL')));
    folder.remove();
  });

  /** Starts the program, crashes it, and returns everything that it printed and left behind. */
  async function crash(where: string, role: 'listener' | 'connector', ...args: readonly string[]) {
    const reports = folder.file(`reports/${role} ${where}`);
    mkdirSync(reports);
    const options = ['--report-uncaught-exception', `--report-directory=${reports}`, '--import', preload];
    const process = CliProcess.start(
      [...args, '--state', folder.file(role), '--bootstrap', NOBODY, ...LOOPBACK, '-vvv'],
      { env: { ...env, CRASH_IN: where }, program: [node, ...options, ...rest] },
    );
    strays.push(process);
    const started = await process.event('started');
    process.child.kill('SIGUSR2');
    assert.equal(await process.exited(), 1);
    const left = readdirSync(reports).map((name) => readFileSync(`${reports}/${name}`, 'utf8'));
    return { process, started, left, secretKey: identities[role].secretKey };
  }

  for (const where of ['main thread', 'promise', 'worker']) {
    for (const [role, ...args] of [
      ['listener', 'listen', '--expose', '22'],
      ['connector', 'connect', '-L', '0:127.0.0.1:22'],
    ] as const) {
      test(`a crash in the ${where} of a ${role} leaks no secret in the last words or in the report of Node`, {
        timeout: 60_000,
      }, async () => {
        const { process, started, left, secretKey } = await crash(where, role, ...args);
        const own = role === 'listener' ? String(started['ticket']) : ticket;
        const secrets = [
          ...spellings(secretKey),
          ...[own, ticket].flatMap((each) => [...spellings(parseTicket(each).secret), secretInTicket(each)]),
          PASSPHRASE,
          ...spellings(passphrase),
        ];
        assert.match(process.stderr, new RegExp(`a fault in the ${where}`), 'it died of that fault');
        assertSilent('the output', saidBy(process), secrets);
        if (where !== 'worker') assert.equal(left.length, 1, 'Node wrote a report');
        for (const report of left) {
          assert.match(report, /"CRASH_IN"/, 'the report includes the environment');
          assertSilent('the report', report, secrets);
        }
      });
    }
  }
});
