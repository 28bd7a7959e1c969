import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { CliBench } from '../support/cli_bench.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const KEY = '7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C';

let bench = new CliBench();
beforeEach(() => {
  bench = new CliBench();
});

test('-R asks for ports, and reports when the listener opens, closes or refuses them', async () => {
  const { ended } = await bench.start(
    /"started"/,
    ID,
    '-R',
    '8080:localhost:80',
    '-R',
    '0:/run/a.sock',
    '--json',
  );
  assert.deepEqual(bench.tunnel.reverses, [
    { bind: { host: '127.0.0.1', port: 8080, isDefault: true }, target: { host: 'localhost', port: 80 } },
    { bind: { host: '127.0.0.1', port: 0, isDefault: true }, target: { path: '/run/a.sock' } },
  ]);
  const change = { listen: '127.0.0.1:8080', target: 'localhost:80', peer: KEY };
  const asked = { event: 'reverse', status: 'asked', peer: ID.slice(0, 64) };
  assert.deepEqual(bench.stdout.events.slice(-2), [
    { ...asked, listen: '127.0.0.1:8080', target: 'localhost:80' },
    { ...asked, listen: '127.0.0.1:0', target: '/run/a.sock' },
  ]);
  bench.tunnel.emit('reverse', { status: 'open', ...change });
  bench.tunnel.emit('reverse', { status: 'closed', ...change });
  assert.deepEqual(bench.stdout.events.slice(-2), [
    { event: 'reverse', status: 'open', ...change },
    { event: 'reverse', status: 'closed', ...change },
  ]);
  bench.signal();
  assert.equal(await ended, 0);
});

test('both ends report reverse ports in words', async () => {
  const { ended } = await bench.start(/Ctrl-C/, 'listen', '--allow-reverse', '8080');
  const change = { listen: '127.0.0.1:8080', peer: KEY };
  bench.tunnel.emit('reverse', { status: 'open', ...change });
  bench.tunnel.emit('reverse', { status: 'closed', ...change });
  bench.tunnel.emit('reverse', { status: 'open', ...change, target: 'localhost:80' });
  bench.tunnel.emit('reverse', { status: 'closed', ...change, target: 'localhost:80' });
  assert.deepEqual(bench.stderr.lines.slice(-4), [
    'Listening on 127.0.0.1:8080 for peer 7E5668E0',
    'No longer listening on 127.0.0.1:8080 for peer 7E5668E0',
    'The listener listens on 127.0.0.1:8080; its connections go to localhost:80 here',
    'The listener no longer listens on 127.0.0.1:8080',
  ]);
  bench.signal();
  assert.equal(await ended, 0);
});

test('listen passes --allow-reverse on with known names, and nothing without the option', async () => {
  const args = [
    'listen',
    '--allow-peer',
    `laptop=${KEY}`,
    '--allow-reverse',
    'laptop:0',
    '--allow-reverse',
    '*:80',
  ];
  const first = await bench.start(/Ctrl-C/, ...args);
  assert.deepEqual(bench.calls.at(-1)?.options.allowReverse, [
    { name: 'laptop', bind: 'loopback', ports: { from: 0, to: 0 } },
    { bind: 'any', ports: { from: 80, to: 80 } },
  ]);
  bench.signal();
  assert.equal(await first.ended, 0);
  bench = new CliBench(bench.stateFolder);
  const second = await bench.start(/Ctrl-C/, 'listen');
  assert.deepEqual(bench.calls.at(-1)?.options.allowReverse, []);
  bench.signal();
  assert.equal(await second.ended, 0);
});

test('--expose with a path prints a command that uses the path', async () => {
  const { ended } = await bench.start(/Ctrl-C/, 'listen', '--expose', '/run/app.sock');
  assert.match(bench.stderr.text, /^ {2}npx tox-wasm-tunnel twt\w+ -L 8080:\/run\/app\.sock$/m);
  assert.match(bench.stderr.text, /^Peers may reach: \/run\/app\.sock$/m);
  bench.signal();
  assert.equal(await ended, 0);
});
