import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { CliBench } from '../support/cli_bench.js';
import { SOME_PEER } from '../support/some_peer.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';

let bench = new CliBench();
let ended: Promise<number> = Promise.resolve(0);
beforeEach(() => {
  bench = new CliBench();
  ended = Promise.resolve(0);
});
afterEach(async () => {
  bench.signal();
  await ended;
});

/** Starts a connector, and waits until it waits for its listener. */
async function connecting(...args: string[]): Promise<void> {
  const other = new CliBench(bench.stateFolder);
  await other.run('add', 'home', ID);
  ({ ended } = await bench.start(/^/, 'connect', ...args));
  await bench.until(() => bench.calls.length > 0 && bench.timers.length > 0);
}

/** What the live line shows now. */
const liveLine = (): string => bench.stderr.text.split('\r\u001b[2K').at(-1) ?? '';

const goOffline = (): boolean =>
  bench.tunnel.emit('peer', { status: 'offline', path: 'none', code: 302, publicKey: SOME_PEER.publicKey });

describe('while the listener is not online', () => {
  test('the live line of a terminal counts the seconds, and ends when the listener is online', async () => {
    bench.stderr.isTTY = true;
    await connecting('home', '22');
    bench.pass(12_000);
    assert.equal(liveLine(), 'waiting for home to come online (12 s)...');
    bench.tunnel.comeOnline({ ...SOME_PEER, path: 'udp' });
    assert.doesNotMatch(liveLine(), /waiting/);
    bench.pass(1_000);
    assert.match(liveLine(), /^direct \(UDP\)/);
  });

  test('the live line says when this machine has not joined the network yet', async () => {
    bench.stderr.isTTY = true;
    bench.tunnel.node.path = 'none';
    bench.onStart = async () => bench.tunnel;
    await connecting('home', '22');
    bench.pass(3_000);
    assert.equal(liveLine(), 'joining the Tox network (3 s)...');
    bench.pass(27_000);
    assert.match(bench.stderr.text, /has not joined .* Check its internet connection; .* doctor finds out/);
  });

  test('without a terminal it is one plain line, and what to check after half a minute', async () => {
    await connecting('home', '22');
    bench.pass(4_999);
    assert.doesNotMatch(bench.stderr.text, /aiting/);
    bench.pass(25_000);
    assert.equal(bench.stderr.text.match(/^Waiting for home to come online \(5 s\)\.\.\.$/gm)?.length, 1);
    bench.pass(1);
    assert.match(bench.stderr.text, /^home is not online after 30 s\. .* doctor home checks/m);
    const lines = bench.stderr.lines.length;
    bench.pass(9 * 60_000);
    assert.equal(bench.stderr.lines.length, lines);
    bench.pass(60_000);
    assert.match(bench.stderr.text, /^Waiting for home to come online \(10 min 0 s\)\.\.\.\n/m);
    bench.pass(60 * 60_000);
    assert.equal(bench.stderr.lines.length, lines + 7);
    assert.ok(!bench.stderr.text.includes('\u001b'));
  });

  test('a listener without a name is called the listener', async () => {
    await connecting(ID, '22');
    bench.pass(30_000);
    assert.match(bench.stderr.text, /^Waiting for the listener to come online/m);
    assert.match(bench.stderr.text, /^The listener is not online after 30 s\. .* doctor TICKET checks/m);
  });

  test('a listener that has gone away is waited for again', async () => {
    await connecting('home', '22');
    bench.tunnel.comeOnline(SOME_PEER);
    assert.equal(bench.timers.length, 0);
    bench.tunnel.friends = [];
    goOffline();
    bench.pass(5_000);
    assert.match(bench.stderr.text, /^Waiting for home to come back online \(5 s\)\.\.\.$/m);
  });

  test('a request that waits is no line of its own, and says nothing of being accepted', async () => {
    await connecting('home', '22', '-v');
    bench.tunnel.emit('code', { code: 104, peer: SOME_PEER.publicKey });
    assert.doesNotMatch(bench.stderr.text, /accepted/);
    assert.match(bench.stderr.text, /answers once it is online \(104\)/);
  });
});

describe('behind ssh', () => {
  test('the wait shows, and ends for good when the listener is online', async () => {
    bench.stderr.isTTY = true;
    bench.stdin = new PassThrough();
    await connecting('home', '-W', 'localhost:22');
    bench.pass(2_000);
    assert.equal(liveLine(), 'waiting for home to come online (2 s)...');
    bench.tunnel.comeOnline(SOME_PEER);
    assert.equal(liveLine(), '');
    const { text } = bench.stderr;
    goOffline();
    assert.equal(bench.timers.length, 0);
    // Nothing is written into the terminal of a running ssh.
    assert.equal(bench.stderr.text, text);
  });

  for (const option of ['--quiet', '--json'])
    test(`nothing shows with ${option}`, async () => {
      bench.stderr.isTTY = true;
      bench.stdin = new PassThrough();
      await connecting('home', '-W', 'localhost:22', option);
      bench.pass(60_000);
      assert.doesNotMatch(bench.stderr.text, /waiting for home|not online/);
    });
});

test('a program that runs in the tunnel has the terminal for itself', async () => {
  bench.stderr.isTTY = true;
  await connecting('home', '22', '--', 'true');
  bench.pass(2_000);
  assert.match(liveLine(), /^waiting for home/);
  bench.tunnel.comeOnline(SOME_PEER);
  await bench.until(() => bench.programs.length > 0);
  const { text } = bench.stderr;
  goOffline();
  bench.pass(60_000);
  assert.equal(bench.stderr.text.slice(text.length), '');
  bench.programs[0]?.end(0);
});

test('nothing of the wait is left running when the command ends', async () => {
  await connecting('home', '22');
  bench.signal();
  assert.equal(await ended, 0);
  assert.equal(bench.timers.length, 0);
});
