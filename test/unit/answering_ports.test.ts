import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { answeringPorts, dialled, listeningPorts } from '../../src/cli/process/answering_ports.js';
import { freePort, listenOnLoopback } from '../support/loopback.js';

/** Lines as Linux prints them, without the columns that nobody reads. */
const table = (...rows: [local: string, state: string][]): string =>
  [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid',
    ...rows.map(([local, state], row) => `   ${row}: ${local} 00000000:0000 ${state} 00000000:00000000`),
    '',
  ].join('\n');

test('ports listen on 127.0.0.1, ::1 and every address, whatever the order of the bytes', () => {
  const little = table(
    ['0100007F:0016', '0A'],
    ['00000000:1538', '0A'],
    ['00000000000000000000000001000000:18EB', '0A'],
    ['00000000000000000000000000000000:1F90', '0A'],
  );
  const big = table(['7F000001:0016', '0A'], [`${'0'.repeat(31)}1:18EB`, '0A']);
  assert.deepEqual(listeningPorts(little, 'LE'), [22, 5432, 6379, 8080]);
  assert.deepEqual(listeningPorts(big, 'BE'), [22, 6379]);
});

test('a port of another address, or one that is connected, does not count', () => {
  const others = table(
    ['0101A8C0:0016', '0A'],
    ['3500007F:0035', '0A'],
    ['0100007F:1538', '01'],
    ['0000000000000000FFFF00000100007F:1F90', '01'],
  );
  assert.deepEqual(listeningPorts(others, 'LE'), []);
  for (const broken of ['', '\n', 'sl', '  0: 0100007F 0 0A', 'no table at all'])
    assert.deepEqual(listeningPorts(broken, 'LE'), []);
});

test('a program that listens on the loopback is found', { skip: process.platform !== 'linux' }, async () => {
  await using server = createServer();
  const port = await listenOnLoopback(server);
  assert.ok((await answeringPorts([])).includes(port));
});

test('where the system lists no ports, those that accept a connection are found', async () => {
  await using server = createServer();
  const [open, closed] = [await listenOnLoopback(server), await freePort()];
  assert.deepEqual(await dialled([closed, open]), [open]);
});
