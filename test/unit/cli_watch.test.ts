import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { LiveLine, statusText } from '../../src/cli/output/live_status.js';
import { Reporter } from '../../src/cli/output/reporter.js';
import { isPlain } from '../../src/cli/process/terminal.js';
import {
  CLIENT_TIMEOUT_MS,
  isOurHost,
  MAX_CONNECTIONS,
  metricsText,
  serveMetrics,
} from '../../src/cli/service/metrics.js';
import { TunnelError } from '../../src/core/errors.js';
import type { PeerInfo } from '../../src/index.js';
import { NO_TRAFFIC } from '../../src/peer/traffic.js';
import { CliBench, TextSink } from '../support/cli_bench.js';
import { SOME_PEER } from '../support/some_peer.js';
import { TempFolder } from '../support/temp_folder.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const temp = new TempFolder();
after(() => temp.remove());

const HEALTHY = { wasmMemoryBytes: 1, strangersDropped: 0 } as const;
const PEER: PeerInfo = { ...SOME_PEER, name: 'a "b"\\' };

let bench = new CliBench();
let ended: Promise<number> = Promise.resolve(0);
beforeEach(() => {
  bench = new CliBench();
  bench.stateFolder = temp.file(`${Math.random()}`);
  ended = Promise.resolve(0);
});
afterEach(async () => {
  bench.signal();
  await ended;
});

describe('the metrics', () => {
  test('have a row per peer with its name escaped, and none for an unmeasured round trip', () => {
    const { roundTripMs: _roundTripMs, ...unmeasured } = PEER;
    const shown = metricsText({
      node: { path: 'udp', health: { wasmMemoryBytes: 5_000_000, strangersDropped: 17 } },
      stats: () => ({ ...NO_TRAFFIC, bytesIn: 5, bytesOut: 6 }),
      peers: () => [PEER, { ...unmeasured, publicKey: 'CD'.repeat(32), path: 'relay', status: 'away' }],
    });
    const first = `{peer="${'AB'.repeat(32)}",name="a \\"b\\"\\\\"}`;
    const second = `{peer="${'CD'.repeat(32)}",name="a \\"b\\"\\\\"}`;
    for (const row of [
      'tox_wasm_tunnel_received_bytes_total 5',
      'tox_wasm_tunnel_sent_bytes_total 6',
      'tox_wasm_tunnel_toxcore_memory_bytes 5000000',
      'tox_wasm_tunnel_strangers_dropped_total 17',
      `tox_wasm_tunnel_peer_online${first} 1`,
      `tox_wasm_tunnel_peer_online${second} 0`,
      `tox_wasm_tunnel_peer_relayed${second} 1`,
      `tox_wasm_tunnel_peer_round_trip_seconds${first} 0.0125`,
      `tox_wasm_tunnel_peer_received_bytes_total${first} 1500000`,
      `tox_wasm_tunnel_peer_denied_total${first} 3`,
      `tox_wasm_tunnel_peer_received_datagrams_total${first} 31`,
      `tox_wasm_tunnel_peer_sent_datagrams_total${first} 32`,
      `tox_wasm_tunnel_peer_dropped_datagrams_total${first} 4`,
    ])
      assert.ok(shown.split('\n').includes(row), `${row} in\n${shown}`);
    assert.ok(!shown.includes(`round_trip_seconds${second}`));
    for (const line of shown.trimEnd().split('\n'))
      assert.match(line, /^(# (HELP|TYPE) tox_wasm_tunnel_\w+ .+|tox_wasm_tunnel_\w+(\{.+\})? [\d.e+-]+)$/);
  });

  test('are served only at /metrics, until the command ends', async () => {
    ({ ended } = await bench.start(/Ctrl-C/, 'listen', '--metrics', '0', '--json', '-v'));
    bench.tunnel.friends = [PEER];
    const url = String(
      bench.stdout.events.find(({ event }) => event === 'metrics') &&
        /http:[^"]+/.exec(bench.stdout.text)?.[0],
    );
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
    const answer = await fetch(url);
    assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    assert.match(await answer.text(), /^tox_wasm_tunnel_peer_streams\{.*\} 2$/m);
    assert.equal((await fetch(url.replace('/metrics', '/'))).status, 404);
    assert.equal((await fetch(url, { method: 'POST' })).status, 404);
    // A name that a web page has led to this address.
    const rebound = await answerFor(url, 'evil.example');
    assert.equal(rebound.status, 421);
    assert.match(rebound.body, /only requests for localhost .*DNS rebinding/);
    assert.ok(!rebound.body.includes('peer'));
    assert.equal((await answerFor(url, 'localhost')).status, 200);
    bench.signal();
    assert.equal(await ended, 0);
    await assert.rejects(fetch(url));
  });

  test('say whether this node is joined to the network', () => {
    const of = (path: 'udp' | 'none', status: 'online' | 'away') =>
      metricsText({
        node: { path, health: HEALTHY },
        stats: () => NO_TRAFFIC,
        peers: () => [{ ...PEER, status }],
      });
    assert.match(of('udp', 'away'), /^tox_wasm_tunnel_joined 1$/m);
    assert.match(of('none', 'away'), /^tox_wasm_tunnel_joined 0$/m);
    assert.match(of('none', 'online'), /^tox_wasm_tunnel_joined 1$/m);
  });

  test('silent clients make room for a scraper, and all are gone after their deadline', async (t) => {
    const timers = new VirtualTimers();
    const reporter = new Reporter(
      bench.stdout,
      bench.stderr,
      { json: true, verbose: 0, quiet: false },
      bench.io,
    );
    const handle = {
      node: { path: 'udp', health: HEALTHY },
      stats: () => NO_TRAFFIC,
      peers: () => [],
    } as const;
    const stop = await serveMetrics({ host: '127.0.0.1', port: 0 }, handle, reporter, timers);
    t.after(stop);
    const url = String(/http:[^"]+/.exec(bench.stdout.text)?.[0]);
    const port = Number(new URL(url).port);
    const closed: Promise<unknown>[] = [];
    for (let number = 0; number < MAX_CONNECTIONS; number++) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      await once(socket, 'connect');
      // One of them begins a request and never ends it.
      if (number === 1) socket.write('GET /metrics HTTP/1.1\r\nx-slow: ');
      closed.push(once(socket, 'close'));
    }
    for (let scrapes = 0; scrapes < 3; scrapes++) assert.equal((await fetch(url)).status, 200);
    await closed[0];
    assert.ok(timers.running <= MAX_CONNECTIONS);
    timers.advance(CLIENT_TIMEOUT_MS);
    await Promise.all(closed);
    assert.equal(timers.running, 0);
  });
  for (const [bind, host, isOurs] of [
    ['127.0.0.1', 'localhost:9100', true],
    ['127.0.0.1', 'LocalHost.', true],
    ['127.0.0.1', 'app.localhost:9100', true],
    ['127.0.0.1', '127.0.0.1', true],
    ['127.0.0.1', '[::1]:9100', true],
    ['127.0.0.1', 'evil.example', false],
    ['127.0.0.1', 'localhost.evil.example', false],
    ['127.0.0.1', 'evil.example:9100', false],
    ['127.0.0.1', '10.0.0.7', false],
    ['127.0.0.1', '127.1', false],
    ['127.0.0.1', '0.0.0.0', false],
    ['127.0.0.1', 'a@localhost', false],
    ['127.0.0.1', '', false],
    ['127.0.0.1', undefined, false],
    ['10.0.0.7', '10.0.0.7:9100', true],
    ['10.0.0.7', '10.0.0.8:9100', false],
    ['10.0.0.7', 'evil.example', false],
    ['Server.lan', 'server.LAN:9100', true],
    ['server.lan', 'other.lan', false],
    ['0.0.0.0', '10.0.0.7:9100', true],
    ['::', '[2001:db8::1]', true],
    ['0.0.0.0', 'server.lan', false],
  ] as const) {
    test(`bound to ${bind} ${isOurs ? 'answer' : 'refuse'} a request for ${host ?? 'no host'}`, () => {
      assert.equal(isOurHost(host, bind), isOurs);
    });
  }

  test('an invalid port is rejected before anything is printed', async () => {
    assert.equal(await bench.run('listen', '--metrics', '70000'), 2);
    assert.match(bench.stderr.text, /70000/);
  });
});

describe('the live line of a terminal', () => {
  test('shows path, round trip, streams and rates', () => {
    const rates = { inRate: 1_200_000, outRate: 34_000 };
    assert.equal(statusText([PEER], rates), 'direct (UDP), 13 ms | 2 streams | in 1.2 MB/s, out 34 kB/s');
    assert.equal(statusText([], rates), 'no peer online | 0 streams | in 1.2 MB/s, out 34 kB/s');
    assert.match(statusText([PEER, { ...PEER, streams: -1 }], rates), /^2 peers \| 1 stream \|/);
  });

  test('is redrawn every second with the current rate, stays below other lines, and disappears at the end', async () => {
    bench.stderr.isTTY = true;
    ({ ended } = await bench.start(/Ctrl-C/, 'listen'));
    await bench.until(() => bench.timers.length > 0);
    bench.tunnel.friends = [PEER];
    let bytesIn = 1_000;
    bench.tunnel.stats = () => ({ ...NO_TRAFFIC, bytesIn });
    bench.tick();
    bytesIn += 50_000;
    bench.tick();
    assert.ok(
      bench.stderr.text.endsWith('\r\u001b[2Kdirect (UDP), 13 ms | 2 streams | in 50 kB/s, out 0 B/s'),
      bench.stderr.text,
    );
    bench.tunnel.emit('waiting', { message: 'for something' });
    assert.ok(
      bench.stderr.text.endsWith(
        '\r\u001b[2KWaiting: for something\ndirect (UDP), 13 ms | 2 streams | in 50 kB/s, out 0 B/s',
      ),
    );
    bench.signal();
    assert.equal(await ended, 0);
    const [, tail] = bench.stderr.text.split(/out 0 B\/s(?=[^|]*$)/);
    assert.match(tail ?? '', /^\r.\[2K(Closed.*\n)?$/s);
    assert.equal(bench.timers.length, 0);
  });

  for (const [why, terminal, ...args] of [
    ['no terminal', false],
    ['--json', true, '--json', '-v'],
  ] as const) {
    test(`is not shown with ${why}`, async () => {
      bench.stderr.isTTY = terminal;
      ({ ended } = await bench.start(/Ctrl-C/, 'listen', ...args));
      await new Promise(setImmediate);
      assert.equal(bench.timers.length, 0);
      assert.ok(!bench.stderr.text.includes('\u001b'));
    });
  }

  test('is not shown where escape codes are not wanted', async () => {
    bench.stderr.isTTY = true;
    bench.isPlain = true;
    ({ ended } = await bench.start(/Ctrl-C/, 'listen'));
    await new Promise(setImmediate);
    assert.equal(bench.timers.length, 0);
    assert.ok(!bench.stderr.text.includes('\u001b'));
    for (const [env, plain] of [
      [{ TERM: 'dumb' }, true],
      [{ TERM: 'xterm', NO_COLOR: '1' }, true],
      [{ TERM: 'xterm', NO_COLOR: '' }, false],
      [{}, false],
    ] as const)
      assert.equal(isPlain(env), plain);
  });

  test('is cut to the width of the terminal, and skipped while the last one is buffered', () => {
    const sink = new TextSink();
    sink.columns = 10;
    const line = new LiveLine(sink);
    line.show('0123456789abc');
    assert.equal(sink.text, '\r\u001b[2K012345678');
    sink.stalled = true;
    line.show('one');
    line.show('two');
    sink.resume();
    assert.ok(!sink.text.includes('two'));
  });
});

describe('ping', () => {
  const args = ['ping', '', '--ephemeral'];

  test('waits for the listener, sends the given number of pings, and prints a summary', async () => {
    args[1] = bench.tunnel.toxId;
    const trips = [10, 30.04];
    bench.tunnel.onPing = async () => ({ roundTripMs: trips.shift() ?? 0, path: 'relay' });
    ({ ended } = await bench.start(/Started/, ...args, '-c', '2', '-v'));
    bench.tunnel.emit('peer', { status: 'online', path: 'relay', code: 301, publicKey: PEER.publicKey });
    await bench.shown(/1: 10 ms through a relay/);
    bench.tick();
    assert.equal(await ended, 0);
    assert.match(
      bench.stderr.text,
      /2: 30 ms through a relay \(TCP\)\n2 of 2 answered, 0 lost; 10 \/ 20 \/ 30 ms/,
    );
  });

  test('counts unanswered pings as lost, and fails when none is answered', async () => {
    args[1] = bench.tunnel.toxId;
    bench.tunnel.friends = [PEER];
    bench.tunnel.onPing = async () => {
      throw new TunnelError('ERR_PEER_GONE', 'gone');
    };
    assert.equal(await bench.run(...args, '-c', '1'), 1);
    assert.match(bench.stderr.text, /1: no answer\n0 of 1 answered, 1 lost\n/);
  });

  test('gives up when the listener is not found in time', async () => {
    args[1] = bench.tunnel.toxId;
    ({ ended } = await bench.start(/Started/, ...args, '-v'));
    await bench.until(() => bench.timers.some(({ delayMs }) => delayMs === 90_000));
    bench.pass(90_000);
    assert.equal(await ended, 1);
    assert.match(bench.stderr.text, /not found within 90 s.*doctor/);
  });

  test('-c requires a number in range', async () => {
    for (const count of ['0', 'x', '-1', '10000000']) {
      const other = new CliBench();
      assert.equal(await other.run('ping', bench.tunnel.toxId, '-c', count), 2);
    }
  });
});

/** Asks a server for a page under another host than its address. */
async function answerFor(
  url: string,
  host: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const asked = get(url, { headers: { host }, agent: false });
  // The event has this one argument.
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}
