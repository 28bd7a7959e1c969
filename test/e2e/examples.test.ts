/** The examples, started as a reader would start them, on a private Tox network. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { programWords } from '../support/build.js';
import { LineProcess } from '../support/line_process.js';
import { listenOnLoopback } from '../support/loopback.js';
import { PrivateNetwork } from '../support/private_network.js';
import { POSTGRES, skipWithout } from '../support/programs.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { startPostgres } from '../support/services.js';
import { TempFolder } from '../support/temp_folder.js';

const TICKET = /^(twt1\S+)$/;

const wordsOf = (name: string) => programWords(new URL(`../../examples/${name}.ts`, import.meta.url));

describe('the examples', () => {
  let network: PrivateNetwork;
  const started: LineProcess[] = [];

  before(async () => {
    network = await PrivateNetwork.start();
  });

  after(async () => {
    await Promise.all(started.map((each) => each.stop()));
    await network.stop();
  });

  /** Starts an example that runs until it is stopped. */
  function start(name: string, ...args: readonly string[]): LineProcess {
    const [command, ...words] = wordsOf(name);
    const one = new LineProcess(command, [...words, ...args], { BOOTSTRAP: network.bootstrap });
    started.push(one);
    return one;
  }

  /** Runs an example that ends by itself. */
  function run(
    name: string,
    args: readonly string[],
    { env = {}, input }: { readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
  ): Promise<Finished> {
    const [command, ...words] = wordsOf(name);
    return runProgram(command, [...words, ...args], {
      env: { ...process.env, BOOTSTRAP: network.bootstrap, ...env },
      ...(input !== undefined && { input }),
    });
  }

  async function ticketOf(listener: LineProcess): Promise<string> {
    return (await listener.line(TICKET))[1] ?? '';
  }

  /** Runs a test with a database that a listener exposes. @param body gets the variables of programs that query it */
  async function withDatabase(body: (env: Record<string, string>) => Promise<void>): Promise<void> {
    const folder = new TempFolder();
    const database = await startPostgres(folder);
    try {
      const port = String(database.port);
      const { ticket } = await network.listen([port]);
      await body({ TICKET: ticket, PGPORT: port, PGUSER: 'tester', PGDATABASE: 'postgres' });
    } finally {
      await database.stop();
      folder.remove();
    }
  }

  test('remote_shell runs what is typed here on the other machine and returns its output and exit code', async () => {
    const ticket = await ticketOf(start('remote_shell'));
    const input = 'echo "6 * 7 is $((6 * 7))"\nno-such-program\n';
    const { exitCode, stdout, stderr } = await run('remote_shell', [ticket], { input });
    assert.deepEqual([exitCode, stderr], [0, '']);
    assert.match(stdout, /^6 \* 7 is 42\n.*no-such-program.*not found/s);
    const ended = await run('remote_shell', [ticket], { input: 'exit 3\n' });
    assert.deepEqual(ended, { exitCode: 0, stdout: '', stderr: '' });
  });

  test('postgres: a database on the other machine answers a query', {
    skip: skipWithout(POSTGRES),
  }, async () => {
    await withDatabase(async (env) => {
      const answer = await run('postgres', ['select 6 * 7 as "product"'], { env });
      assert.deepEqual(answer, { exitCode: 0, stdout: '[{"product":42}]\n', stderr: '' });
    });
  });

  test('http_server: a server without a listening port serves a page', async () => {
    const ticket = await ticketOf(start('http_server'));
    const page = await run('http_server', [ticket, '/hello']);
    assert.deepEqual(page, { exitCode: 0, stdout: 'You asked for /hello.\n', stderr: '' });
  });

  test("ci_job: its command reaches the machine at home, and the job exits with the command's code", async () => {
    const server = createServer((_request, response) => response.end('from home'));
    const port = await listenOnLoopback(server);
    try {
      const { ticket } = await network.listen([String(port)]);
      const program = `
        const response = await fetch('http://' + process.env.HOME_MACHINE);
        process.stdout.write(await response.text());
        process.exitCode = 7;`;
      const args = [String(port), process.execPath, '--input-type=module', '--eval', program];
      const job = await run('ci_job', args, { env: { TICKET: ticket } });
      assert.deepEqual(job, { exitCode: 7, stdout: 'from home', stderr: '' });
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  test('team_files: each ticket opens the file server, which knows whose it is', async () => {
    const folder = new TempFolder();
    try {
      writeFileSync(folder.file('a note.txt'), 'for the team\n');
      const server = start('team_files', dirname(folder.file('x')), 'ann', 'bob');
      const [, ticket = ''] = await server.line(/^bob: (twt1\S+)$/);
      const page = await run('team_files', [ticket, 'a note.txt']);
      assert.deepEqual(page, { exitCode: 0, stdout: 'for the team\n', stderr: '' });
      await server.line(/^bob asks for \/a%20note\.txt$/);
      const missing = await run('team_files', [ticket, '../secret']);
      assert.deepEqual(missing, { exitCode: 1, stdout: 'no such file\n', stderr: '' });
    } finally {
      folder.remove();
    }
  });

  test('next_route: a request handler answers from a database on the other machine', {
    skip: skipWithout(POSTGRES),
  }, async () => {
    await withDatabase(async (env) => {
      const [command, ...words] = programWords(new URL('../support/next_route_program.ts', import.meta.url));
      const answer = await runProgram(command, words, {
        env: { ...process.env, BOOTSTRAP: network.bootstrap, ...env },
      });
      assert.deepEqual(answer, { exitCode: 0, stdout: '[{"total":42}]\n[{"total":42}]\n', stderr: '' });
    });
  });

  test("dev_servers: each developer sees the other's page", async () => {
    const servers = ['Ann', 'Bob'].map((name) =>
      createServer((_request, response) => response.setHeader('connection', 'close').end(`made by ${name}`)),
    );
    const [annPort = 0, bobPort = 0] = await Promise.all(servers.map((server) => listenOnLoopback(server)));
    try {
      const ann = start('dev_servers', String(annPort));
      const [, theirs = '', ticket = ''] = await ann.line(/ HIS_PORT (\d+) (twt1\S+)$/);
      const bob = start('dev_servers', String(bobPort), theirs, ticket);
      const [, bobs = ''] = await ann.line(/Bob's server: (\S+)/);
      const [, anns = ''] = await bob.line(/Ann's server: (\S+)/);
      const pages = await Promise.all([anns, bobs].map(async (url) => (await fetch(url)).text()));
      assert.deepEqual(pages, ['made by Ann', 'made by Bob']);
    } finally {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
        await once(server, 'close').catch(() => {});
      }
    }
  });
});
