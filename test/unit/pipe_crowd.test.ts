import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Pipe } from '../../src/forward/pipe.js';
import { HELD_BYTES, TCP_OPTIONS } from '../../src/forward/tcp_socket.js';
import { dialLoopback, listenOnLoopback } from '../support/loopback.js';
import { pattern } from '../support/pattern.js';
import { writePattern } from '../support/socket_bytes.js';

const MIB = 1024 * 1024;

test('a socket that must wait in a crowd holds one block, and loses no byte', async (t) => {
  const server = createServer(TCP_OPTIONS);
  const program = dialLoopback(await listenOnLoopback(server));
  const [piped] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    program.destroy();
    server.close();
  });
  const bytes = 4 * MIB;
  const written: Uint8Array[] = [];
  // It takes one piece after each drain.
  const pipe = new Pipe(piped);
  pipe.attach({
    isCrowded: true,
    write: (piece) => {
      written.push(piece);
      return false;
    },
    end: () => {},
    reset: () => {},
    consumed: () => {},
  });
  const writing = writePattern(program, 'crowd', bytes).then(() => program.end());
  pipe.flow();
  while (written.length === 0) await turn();
  let mostHeldBytes = 0;
  while (!piped.readableEnded) {
    const before = written.length;
    for (let turns = 0; turns < 5; turns++) await turn();
    assert.equal(written.length, before);
    mostHeldBytes = Math.max(mostHeldBytes, piped.readableLength);
    pipe.onDrain();
    await turn();
  }
  // A block of Node holds 64 KiB. The socket reads one when it holds less than it should keep.
  assert.ok(mostHeldBytes < HELD_BYTES + 64 * 1024, `${mostHeldBytes} bytes`);
  assert.ok(written.every(({ length }) => length < 2 * HELD_BYTES));
  await writing;
  const whole = Buffer.concat(written);
  assert.equal(whole.length, bytes);
  assert.ok(whole.equals(pattern('crowd', bytes)));
});
