/** Programs that people actually run through tunnels: databases, web servers, git and rsync. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { listenOnLoopback } from '../support/loopback.js';
import { pattern } from '../support/pattern.js';
import { PrivateNetwork } from '../support/private_network.js';
import {
  GIT,
  NGINX,
  POSTGRES,
  postgresProgram,
  REDIS,
  RSYNC,
  skipWithout,
  WRK,
} from '../support/programs.js';
import {
  mustRun,
  type Service,
  startGit,
  startNginx,
  startPostgres,
  startRedis,
  startRsync,
} from '../support/services.js';
import { TempFolder } from '../support/temp_folder.js';

const PAGE = pattern('a page of nginx', 200_000);

describe('real servers through one tunnel', {
  skip: skipWithout(POSTGRES, REDIS, NGINX, WRK, RSYNC, GIT),
}, () => {
  const folder = new TempFolder();
  const database = new TempFolder();
  const services: Service[] = [];
  let network: PrivateNetwork | undefined;
  /** The local port of each service, in start order. */
  let ports: readonly number[];

  before(async () => {
    for (const name of ['web', 'there', 'repositories']) mkdirSync(folder.file(name));
    writeFileSync(folder.file('web/page'), PAGE);
    // Started one after the other, so that the services already running are stopped when a later one fails.
    services.push(await startPostgres(database));
    services.push(await startRedis(folder));
    services.push(await startNginx(folder, folder.file('web')));
    services.push(await startRsync(folder, folder.file('there')));
    services.push(await startGit(folder.file('repositories')));
    network = await PrivateNetwork.start();
    const { locals } = await network.tunnel(services.map(({ port }) => port));
    ports = locals.map(({ port }) => port);
  });

  after(async () => {
    await network?.stop();
    for (const service of services) await service.stop();
    folder.remove();
    database.remove();
  });

  function at(index: number): string {
    return String(ports[index]);
  }

  test('pgbench runs 400 transactions from 8 clients and loses none', { timeout: 90_000 }, async () => {
    const where = ['-h', '127.0.0.1', '-p', at(0), '-U', 'tester'];
    await mustRun(postgresProgram('pgbench'), ...where, '-i', '-q', 'postgres');
    const said = await mustRun(
      postgresProgram('pgbench'),
      ...where,
      '-n',
      '-c',
      '8',
      '-j',
      '2',
      '-t',
      '50',
      'postgres',
    );
    assert.match(said, /transactions actually processed: 400\/400/);
    const sums =
      'select (select sum(abalance) from pgbench_accounts) - (select sum(delta) from pgbench_history), (select count(*) from pgbench_history)';
    assert.equal(
      (await mustRun(postgresProgram('psql'), ...where, '-tA', '-c', sums, 'postgres')).trim(),
      '0|400',
    );
  });

  test('redis-benchmark succeeds, and a value of 3 MB comes back unchanged', {
    timeout: 90_000,
  }, async () => {
    const where = ['-h', '127.0.0.1', '-p', at(1)];
    const said = await mustRun(
      'redis-benchmark',
      ...where,
      '-q',
      '-n',
      '3000',
      '-c',
      '20',
      '-t',
      'set,get,lpush',
    );
    for (const command of ['SET', 'GET', 'LPUSH'])
      assert.match(said, new RegExp(`${command}: [\\d.]+ requests`));
    const value = PAGE.toString('base64').repeat(11);
    writeFileSync(folder.file('value'), value);
    await mustRun('sh', '-c', `redis-cli ${where.join(' ')} -x set big < '${folder.file('value')}'`);
    assert.equal((await mustRun('redis-cli', ...where, 'get', 'big')).trimEnd(), value);
  });

  test('wrk fetches whole pages from nginx over 16 connections', { timeout: 60_000 }, async () => {
    const said = await mustRun('wrk', '-t', '2', '-c', '16', '-d', '1s', `http://127.0.0.1:${at(2)}/page`);
    assert.match(said, /[1-9]\d* requests in /);
    assert.doesNotMatch(said, /Socket errors|Non-2xx/);
    const page = await fetch(`http://127.0.0.1:${at(2)}/page`);
    assert.ok(Buffer.from(await page.arrayBuffer()).equals(PAGE));
  });

  test('rsync copies a tree there and back', { timeout: 60_000 }, async () => {
    const here = folder.file('here');
    for (let index = 0; index < 40; index++) {
      mkdirSync(join(here, `d${index % 5}`), { recursive: true });
      writeFileSync(join(here, `d${index % 5}`, `f${index}`), pattern(`file ${index}`, index * 9_973));
    }
    const far = `rsync://127.0.0.1:${at(3)}/files/`;
    await mustRun('rsync', '-a', '--checksum', `${here}/`, far);
    await mustRun('rsync', '-a', '--checksum', far, folder.file('back'));
    await mustRun('diff', '-r', here, folder.file('there'));
    await mustRun('diff', '-r', here, folder.file('back'));
  });

  test('git clones a repository and pushes a commit', { timeout: 60_000 }, async () => {
    const git = async (...args: readonly string[]): Promise<string> =>
      await mustRun(
        'git',
        '-c',
        'user.name=t',
        '-c',
        'user.email=t@example.org',
        '-c',
        'safe.directory=*',
        ...args,
      );
    const bare = folder.file('repositories/a.git');
    const seed = folder.file('seed');
    await git('init', '-q', '--bare', '-b', 'main', bare);
    await git('init', '-q', '-b', 'main', seed);
    for (let commit = 0; commit < 20; commit++) {
      writeFileSync(join(seed, `file${commit}`), pattern(`commit ${commit}`, 50_000 + commit));
      await git('-C', seed, 'add', '.');
      await git('-C', seed, 'commit', '-q', '-m', `commit ${commit}`);
    }
    await git('-C', seed, 'push', '-q', bare, 'main');

    const clone = folder.file('clone');
    await git('clone', '-q', `git://127.0.0.1:${at(4)}/a.git`, clone);
    await git('-C', clone, 'fsck', '--strict');
    assert.equal(await git('-C', clone, 'rev-parse', 'HEAD'), await git('-C', seed, 'rev-parse', 'HEAD'));
    assert.ok(readFileSync(join(clone, 'file7')).equals(pattern('commit 7', 50_007)));

    writeFileSync(join(clone, 'more'), 'more\n');
    await git('-C', clone, 'add', '.');
    await git('-C', clone, 'commit', '-q', '-m', 'more');
    await git('-C', clone, 'push', '-q', 'origin', 'main');
    assert.equal(await git('-C', bare, 'rev-parse', 'main'), await git('-C', clone, 'rev-parse', 'HEAD'));
  });
});

describe('web protocols through one tunnel', () => {
  const web = createHttpServer();
  const sockets = new WebSocketServer({ server: web });
  // The default limit of 10 MB is less than the sum of these bodies.
  const http2 = createHttp2Server({ maxSessionMemory: 100 });
  let network: PrivateNetwork | undefined;
  let ports: readonly number[];

  before(async () => {
    sockets.on('connection', (socket) => {
      socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
    });
    http2.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    const targets = [await listenOnLoopback(web), await listenOnLoopback(http2)];
    network = await PrivateNetwork.start();
    const { locals } = await network.tunnel(targets);
    ports = locals.map(({ port }) => port);
  });

  after(async () => {
    await network?.stop();
    for (const socket of sockets.clients) socket.terminate();
    web.close();
    http2.close();
  });

  test('a WebSocket returns 150 messages of any size in order', {
    timeout: 60_000,
  }, async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${ports[0]}/`);
    const sent = Array.from({ length: 150 }, (_, index) =>
      pattern(`message ${index}`, (index * 1_103) % 70_000),
    );
    const got: Buffer[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.on('open', () => {
        for (const message of sent) socket.send(message);
      });
      socket.on('message', (message: Buffer) => {
        if (got.push(message) === sent.length) socket.close(1000, 'done');
      });
      socket.on('close', (code) => (code === 1000 ? resolve() : reject(new Error(`closed with ${code}`))));
      socket.on('error', reject);
    });
    assert.ok(got.every((message, index) => message.equals(sent[index] ?? Buffer.of(1))));
  });

  test('HTTP/2 carries 40 streams at once over one connection', { timeout: 60_000 }, async () => {
    const session = connectHttp2(`http://127.0.0.1:${ports[1]}`, { maxSessionMemory: 100 });
    const bodies = Array.from({ length: 40 }, (_, index) => pattern(`stream ${index}`, 14_000 * index));
    const echoed = await Promise.all(
      bodies.map(async (body) => {
        const stream = session.request({ ':method': 'POST', ':path': '/' });
        stream.end(body);
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(chunk);
        return Buffer.concat(chunks);
      }),
    );
    session.close();
    assert.ok(echoed.every((body, index) => body.equals(bodies[index] ?? Buffer.of(1))));
  });
});
