import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { CliBench } from '../support/cli_bench.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';

let bench = new CliBench();
beforeEach(() => {
  bench = new CliBench();
});

test('--udp-forward works without other forwards and several times, and its event names UDP', async () => {
  const { ended } = await bench.start(
    /"local":"0\.0\.0\.0:123"/,
    'connect',
    ID,
    '--udp-forward',
    '5353:localhost:53',
    '--udp-forward',
    '0.0.0.0:123:ntp.lan:123',
    '--json',
  );
  assert.deepEqual(bench.tunnel.udpForwards, [
    { bind: { host: '127.0.0.1', port: 5353, isDefault: true }, target: { host: 'localhost', port: 53 } },
    { bind: { host: '0.0.0.0', port: 123 }, target: { host: 'ntp.lan', port: 123 } },
  ]);
  assert.deepEqual(bench.stdout.events.slice(-2), [
    { event: 'forward', local: '127.0.0.1:5353', target: 'localhost:53', protocol: 'udp' },
    { event: 'forward', local: '0.0.0.0:123', target: 'ntp.lan:123', protocol: 'udp' },
  ]);
  bench.signal();
  assert.equal(await ended, 0);
});

test('the line for people names UDP', async () => {
  const { ended } = await bench.start(/Forwarding/, ID, '--udp-forward', '5353:localhost:53');
  assert.ok(bench.stderr.lines.includes('Forwarding UDP 127.0.0.1:5353 to localhost:53 at the listener'));
  bench.signal();
  assert.equal(await ended, 0);
});

test('rejects a path, and the option at a listener', async () => {
  assert.equal(await bench.run(ID, '--udp-forward', '/tmp/a.sock:localhost:53'), 2);
  assert.match(bench.stderr.text, /neither end may be a path/);
  assert.equal(await bench.run('listen', '--udp-forward', '5353:localhost:53'), 2);
  assert.equal(await bench.run(ID, '-W', 'localhost:22', '--udp-forward', '5353:localhost:53'), 2);
  assert.match(bench.stderr.text, /-W cannot be combined with PORT/);
});
