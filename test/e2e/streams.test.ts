/** A stream must behave like any other TCP connection for the programs at its ends. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { CliProcess } from '../support/cli_process.js';
import { dialLoopback, ending, freePort } from '../support/loopback.js';
import { pattern, patternDigest, patternPieces } from '../support/pattern.js';
import { PrivateNetwork } from '../support/private_network.js';
import { SilentTarget } from '../support/silent_target.js';
import { readDigest, readExactly, readToEnd, writePattern } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** What a writer sends to an end that does not read; more than {@link ACCEPTED_LIMIT_BYTES}. */
const TOTAL_BYTES = 40 * MIB;
/**
 * Two pairs of socket buffers (4 + 6 MiB each by Linux's tcp_wmem and tcp_rmem), the window of the
 * stream (256 KiB: it grows only for an end that reads), and the bytes in transit between them.
 */
const ACCEPTED_LIMIT_BYTES = 28 * MIB;
/** How much a process may grow that stops a writer; it would grow by more if it kept the rest. */
const GROWTH_LIMIT_BYTES = 28 * MIB;

describe('streams through one tunnel', () => {
  let network: PrivateNetwork;
  let listener: CliProcess;
  let connector: CliProcess;
  /** Local ports of the forwards, by target name. */
  let to: { readonly echo: number; readonly held: number; readonly nobody: number; readonly silent: number };
  let echo: Target;
  let held: Target;
  let silent: SilentTarget;
  let nobody: number;
  let ticket: string;

  before(async () => {
    network = await PrivateNetwork.start();
    [echo, held, silent, nobody] = await Promise.all([
      Target.echo(),
      Target.start(),
      SilentTarget.start(),
      freePort(),
    ]);
    const tunnel = await network.tunnel([echo.port, held.port, nobody, silent.port]);
    ({ listener, connector, ticket } = tunnel);
    const [first, second, third, fourth] = tunnel.locals;
    assert.ok(first !== undefined && second !== undefined && third !== undefined && fourth !== undefined);
    to = { echo: first.port, held: second.port, nobody: third.port, silent: fourth.port };
  });

  after(async () => {
    await network.stop();
    await Promise.all([echo.stop(), held.stop(), silent.stop()]);
  });

  /** Sends a pattern through the echo target and checks that it comes back. */
  async function echoes(port: number, seed: string, bytes: number): Promise<void> {
    const socket = dialLoopback(port);
    const answer = readDigest(socket);
    await writePattern(socket, seed, bytes);
    socket.end();
    assert.deepEqual(await answer, { bytes, sha256: patternDigest(seed, bytes) }, seed);
  }

  /** Returns both ends of a connection through the tunnel. */
  async function heldPair(): Promise<{ client: Socket; server: Socket }> {
    const client = dialLoopback(to.held);
    return { client, server: await held.connection() };
  }

  /**
   * Waits until a socket's writer makes no more progress while other streams of the tunnel do.
   *
   * @returns the number of bytes it got rid of
   */
  async function acceptedOnceStopped(writer: Socket): Promise<number> {
    let accepted = -1;
    for (let idleRounds = 0, round = 0; idleRounds < 3; round++) {
      await echoes(to.echo, `beside ${round}`, MIB);
      const now = writer.bytesWritten - writer.writableLength;
      idleRounds = now === accepted ? idleRounds + 1 : 0;
      accepted = now;
    }
    return accepted;
  }

  test('200 concurrent connections each carry their own bytes', { timeout: 120_000 }, async () => {
    const all = Array.from({ length: 200 }, (_, i) => echoes(to.echo, `at once ${i}`, 32 * KIB + i));
    await Promise.all(all);
  });

  test('100 consecutive connections all work', { timeout: 120_000 }, async () => {
    for (let i = 0; i < 100; i++) await echoes(to.echo, `in turn ${i}`, KIB + i);
  });

  test('50 concurrent connections on the same forward all work afterwards', { timeout: 60_000 }, async () => {
    await Promise.all(Array.from({ length: 50 }, (_, i) => echoes(to.echo, `again ${i}`, 10 * KIB + i)));
  });

  test('a connection that carries no byte opens and closes', { timeout: 30_000 }, async () => {
    const { client, server } = await heldPair();
    client.end();
    assert.equal((await readToEnd(server)).length, 0);
    server.end();
    assert.equal((await readToEnd(client)).length, 0);
  });

  test('a client that has ended its side still receives the whole response', {
    timeout: 60_000,
  }, async () => {
    const { client, server } = await heldPair();
    client.end('question');
    assert.equal((await readToEnd(server)).toString(), 'question');

    const answer = readDigest(client);
    await writePattern(server, 'answer', 2 * MIB);
    server.end();

    assert.deepEqual(await answer, { bytes: 2 * MIB, sha256: patternDigest('answer', 2 * MIB) });
  });

  test("the client's end reaches the target while the response flows", { timeout: 60_000 }, async () => {
    const { client, server } = await heldPair();
    const clientEnded = new AbortController();
    const question = readToEnd(server).finally(() => clientEnded.abort());
    // This response ends only because the target has seen the end of the request.
    const sent = createHash('sha256');
    let sentBytes = 0;
    const answering = (async () => {
      for (const piece of patternPieces('endless', 2 ** 40)) {
        if (clientEnded.signal.aborted) break;
        sent.update(piece);
        sentBytes += piece.length;
        if (!server.write(piece)) await new Promise((resolve) => server.once('drain', resolve));
      }
      server.end();
    })();

    const got = readDigest(client);
    client.once('data', () => client.end('enough'));

    assert.equal((await question).toString(), 'enough');
    await answering;
    assert.deepEqual(await got, { bytes: sentBytes, sha256: sent.digest('hex') });
  });

  test('a reset by the client becomes a reset at the target', { timeout: 30_000 }, async () => {
    const { client, server } = await heldPair();
    server.resume();
    client.write('hello');
    await new Promise((resolve) => server.once('data', resolve));

    client.resetAndDestroy();

    assert.equal(await ending(server), 'ECONNRESET');
  });

  test('a reset by the target becomes a reset at the client', { timeout: 30_000 }, async () => {
    const { client, server } = await heldPair();
    client.resume();
    server.write('hello');
    await new Promise((resolve) => client.once('data', resolve));

    server.resetAndDestroy();

    assert.equal(await ending(client), 'ECONNRESET');
  });

  test('a refused dial becomes a reset at the client, and the reason is reported', {
    timeout: 30_000,
  }, async () => {
    const client = dialLoopback(to.nobody);
    client.resume();

    assert.equal(await ending(client), 'ECONNRESET');

    const refused = await connector.event('refused', (event) => event['target'] === `127.0.0.1:${nobody}`);
    assert.equal(refused['reason'], 'refused');
  });

  test('a target that is not exposed is refused, and the reason is reported', {
    timeout: 60_000,
  }, async () => {
    const forbidden = await Target.echo();
    const other = await network.connect(ticket, [`0:127.0.0.1:${forbidden.port}`]);
    const local = other.locals[0];
    assert.ok(local !== undefined);
    const client = dialLoopback(local.port);
    client.resume();

    assert.equal(await ending(client), 'ECONNRESET');

    const refused = await other.connector.event('refused');
    assert.equal(refused['reason'], 'not-allowed');
    await other.connector.stop();
    await forbidden.stop();
  });

  test('a target that drops SYNs delays no other stream and no other peer', {
    timeout: 120_000,
  }, async () => {
    const second = await network.connect(ticket, [`0:127.0.0.1:${echo.port}`]);
    const local = second.locals[0];
    assert.ok(local !== undefined);
    const stuck = Array.from({ length: 20 }, () => dialLoopback(to.silent));
    const endings = Promise.all(stuck.map((socket) => ending(socket.resume())));
    const direct = dialLoopback(silent.port);

    for (let i = 0; i < 5; i++) {
      await Promise.all([
        echoes(to.echo, `beside silence ${i}`, 256 * KIB),
        echoes(local.port, `other peer ${i}`, 256 * KIB),
      ]);
    }

    assert.ok(direct.connecting, 'the target should have dropped the SYNs, but answered one');
    assert.ok(
      stuck.every((socket) => !socket.closed),
      'the others should finish while the dials still wait',
    );
    direct.destroy();
    assert.deepEqual(new Set(await endings), new Set(['ECONNRESET']));
    const refused = await connector.event(
      'refused',
      (event) => event['target'] === `127.0.0.1:${silent.port}`,
    );
    assert.equal(refused['reason'], 'timeout');
    await second.connector.stop();
  });

  test('a target that never reads stops its writer, costs little memory and delays no other stream', {
    timeout: 180_000,
  }, async (t) => {
    const { client, server } = await heldPair(); // the server's end stays paused
    const before = [listener.rssBytes(), connector.rssBytes()] as const;
    const writing = writePattern(client, 'for a slow reader', TOTAL_BYTES).then(() => client.end());

    const accepted = await acceptedOnceStopped(client);
    const growth = [listener.rssBytes() - before[0], connector.rssBytes() - before[1]] as const;
    t.diagnostic(`the writer wrote ${(accepted / MIB).toFixed(1)} of ${TOTAL_BYTES / MIB} MiB and stopped`);
    t.diagnostic(`listener grew by ${(growth[0] / MIB).toFixed(1)} MiB, to ${mib(listener.rssBytes())}`);
    t.diagnostic(`connector grew by ${(growth[1] / MIB).toFixed(1)} MiB, to ${mib(connector.rssBytes())}`);
    assert.ok(accepted < ACCEPTED_LIMIT_BYTES, `${accepted} bytes were accepted that nobody reads`);
    assert.ok(growth[0] < GROWTH_LIMIT_BYTES, `the listener grew by ${growth[0]} bytes`);
    assert.ok(growth[1] < GROWTH_LIMIT_BYTES, `the connector grew by ${growth[1]} bytes`);

    const all = await readDigest(server);
    await writing;
    assert.deepEqual(all, {
      bytes: TOTAL_BYTES,
      sha256: patternDigest('for a slow reader', TOTAL_BYTES),
    });
    client.destroy();
    server.destroy();
  });

  test('a client that never reads stops its target in the same way', { timeout: 120_000 }, async () => {
    const { client, server } = await heldPair();
    const writing = writePattern(server, 'slow client', TOTAL_BYTES).then(() => server.end());

    const accepted = await acceptedOnceStopped(server);
    assert.ok(accepted < ACCEPTED_LIMIT_BYTES, `${accepted} bytes were accepted that nobody reads`);

    assert.deepEqual(await readDigest(client), {
      bytes: TOTAL_BYTES,
      sha256: patternDigest('slow client', TOTAL_BYTES),
    });
    await writing;
    client.destroy();
    server.destroy();
  });

  test('bytes flow in both directions at once without waiting for each other', {
    timeout: 120_000,
  }, async () => {
    const { client, server } = await heldPair();
    const bytes = 4 * MIB;
    const [atServer, atClient] = await Promise.all([
      readDigest(server),
      readDigest(client),
      writePattern(client, 'there', bytes).then(() => client.end()),
      writePattern(server, 'back', bytes).then(() => server.end()),
    ]);
    assert.deepEqual(atServer, { bytes, sha256: patternDigest('there', bytes) });
    assert.deepEqual(atClient, { bytes, sha256: patternDigest('back', bytes) });
  });

  test('a request of one byte gets its response, 200 times on one connection', {
    timeout: 60_000,
  }, async () => {
    const socket = dialLoopback(to.echo);
    const bytes = pattern('keystrokes', 200);
    for (const byte of bytes) {
      socket.write(Uint8Array.of(byte));
      assert.equal((await readExactly(socket, 1))[0], byte);
    }
    socket.end();
    await readToEnd(socket);
  });
});

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
