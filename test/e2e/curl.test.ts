/** Large files transferred with curl in both directions: the simplest use of a tunnel. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, type TestContext, test } from 'node:test';
import { listenOnLoopback } from '../support/loopback.js';
import { patternDigest, patternStream } from '../support/pattern.js';
import { PrivateNetwork, type Tunnel } from '../support/private_network.js';
import { CURL, skipWithout } from '../support/programs.js';
import { runProgram } from '../support/run_program.js';
import { readDigest } from '../support/socket_bytes.js';
import { TempFolder } from '../support/temp_folder.js';

const MIB = 1024 * 1024;
const FILE_BYTES = 40 * MIB;
const SEED = 'a file for curl';

/** A process that grows by more with a second file keeps data that it should pass on. */
const GROWTH_LIMIT_BYTES = 30 * MIB;

describe('curl through a tunnel', { skip: skipWithout(CURL) }, () => {
  const folder = new TempFolder();
  let server: Server;
  let network: PrivateNetwork;
  let tunnel: Tunnel;
  let url: string;

  before(async () => {
    await pipeline(patternStream(SEED, FILE_BYTES), createWriteStream(folder.file('served')));
    server = createServer((request, response) => {
      if (request.method === 'GET') {
        response.setHeader('content-length', FILE_BYTES);
        createReadStream(folder.file('served')).pipe(response);
        return;
      }
      readDigest(request).then(
        ({ bytes, sha256 }) => response.end(`${bytes} ${sha256}`),
        () => response.destroy(),
      );
    });
    const port = await listenOnLoopback(server);
    network = await PrivateNetwork.start();
    tunnel = await network.tunnel([port]);
    const local = tunnel.locals[0];
    assert.ok(local !== undefined);
    url = `http://${local.host}:${local.port}/file`;
  });

  after(async () => {
    await network.stop();
    server.close();
    server.closeAllConnections();
    folder.remove();
  });

  test('downloads a file of 40 MiB intact', { timeout: 180_000 }, async (t) => {
    const { exitCode, stdout, stderr } = await runProgram('curl', [
      '--silent',
      '--show-error',
      '--fail',
      '--noproxy',
      '*',
      '--output',
      folder.file('fetched'),
      '--write-out',
      '%{speed_download}',
      url,
    ]);

    assert.equal(exitCode, 0, stderr);
    assert.equal(await fileDigest(folder.file('fetched')), patternDigest(SEED, FILE_BYTES));
    report(t, 'down', Number(stdout));
  });

  const rssOfEach = () => [tunnel.listener, tunnel.connector].map((process) => process.rssBytes());

  test('uploads a file of 40 MiB intact, and neither process keeps it', { timeout: 180_000 }, async (t) => {
    const before = rssOfEach();
    const { exitCode, stdout, stderr } = await runProgram('curl', [
      '--silent',
      '--show-error',
      '--fail',
      '--noproxy',
      '*',
      '--upload-file',
      folder.file('served'),
      '--write-out',
      '\n%{speed_upload}',
      url,
    ]);

    assert.equal(exitCode, 0, stderr);
    const [answer, speed] = stdout.split('\n');
    assert.equal(answer, `${FILE_BYTES} ${patternDigest(SEED, FILE_BYTES)}`);
    report(t, 'up', Number(speed));
    const growth = rssOfEach().map((bytes, index) => bytes - (before[index] ?? 0));
    assert.ok(Math.max(...growth) < GROWTH_LIMIT_BYTES, `the processes grew by ${growth} bytes`);
  });

  function report(t: TestContext, direction: string, bytesPerSecond: number): void {
    t.diagnostic(`${direction}: ${(bytesPerSecond / MIB).toFixed(1)} MiB/s`);
    for (const name of ['listener', 'connector'] as const) {
      const process = tunnel[name];
      const rss = process.rssBytes();
      t.diagnostic(
        `${name}: ${(rss / MIB).toFixed(0)} MiB resident, ${process.cpuSeconds().toFixed(1)} s of CPU`,
      );
    }
  }
});

async function fileDigest(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
