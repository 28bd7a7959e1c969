/**
 * A dialled stream beside a `net.Socket`: each scenario runs over both, and the events and callbacks must come in the
 * same order. Where they differ, the scenario says why; docs/reference/library.md repeats it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, Socket } from 'node:net';
import { Duplex, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { systemTimers } from '../../src/core/clock.js';
import { TargetServer } from '../../src/forward/exit/target_server.js';
import { DialedStream } from '../../src/forward/stream/dialed_stream.js';
import { StreamGate } from '../../src/forward/stream_gate.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { freePort, LOOPBACK_HOST } from '../support/loopback.js';
import { sessionPair } from '../support/session_pair.js';
import {
  closed,
  codeIn,
  codeOf,
  type Dial,
  ENDINGS,
  type Made,
  Run,
  settled,
} from '../support/socket_run.js';
import { STREAM_PEER } from '../support/some_peer.js';

/** Short, so that a test need not wait. Nothing depends on how long it is. */
const IDLE_MS = 20;

interface Scenario {
  readonly run: (run: Run) => Promise<void>;
  /** Why the two differ, and what the stream does. */
  readonly differs?: { readonly why: string; readonly stream: string };
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'a target that echoes, and an end': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      made.end('x');
      made.resume();
      await closed(made);
    },
  },
  'a closed port': {
    run: async (run) => await closed(run.dial(await freePort())),
  },
  'a write and an end to a closed port': {
    run: async (run) => {
      const made = run.dial(await freePort());
      made.write('x', run.noted('first write'));
      made.write('y', run.noted('second write'));
      made.end(run.noted('end'));
      await closed(made);
    },
    differs: {
      why: 'each callback gets the error that the stream failed with',
      stream:
        'error(ECONNREFUSED, connect) | first write ECONNREFUSED | second write ECONNREFUSED | end ECONNREFUSED | close(true)',
    },
  },
  'a target that ends': {
    run: async (run) => {
      const made = run.dial(await run.greeter());
      made.resume();
      await closed(made);
    },
  },
  'a target that ends, and nobody reads': {
    run: async (run) => {
      const made = run.dial(await run.greeter());
      while (made.readableLength < 3) await turn();
      await settled();
      run.note(`${made.destroyed} ${made.readyState}`);
      made.destroy();
      await closed(made);
    },
  },
  'a target that resets after data': {
    run: async (run) => {
      const made = run.dial(await run.resetter());
      made.resume();
      await once(made, 'ready');
      made.write('x', run.noted('write'));
      await closed(made);
    },
  },
  'a target that resets an idle connection': {
    run: async (run) => {
      const sockets: Socket[] = [];
      const made = run.dial(await run.serve((socket) => sockets.push(socket)));
      made.resume();
      await once(made, 'ready');
      while (sockets.length === 0) await turn();
      sockets[0]?.resetAndDestroy();
      await closed(made);
    },
  },
  'a write after a reset': {
    run: async (run) => {
      const made = run.dial(await run.resetter());
      made.resume();
      await once(made, 'ready');
      made.write('x');
      await closed(made);
      made.write('y', run.noted('write'));
      await settled();
    },
  },
  'a write after the end': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      made.resume();
      made.end('a');
      made.write('b', run.noted('write'));
      await closed(made);
    },
  },
  'destroy before it is connected': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      made.destroy();
      await closed(made);
    },
  },
  'destroy with an error': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      await once(made, 'connect');
      made.destroy(Object.assign(new Error('mine'), { code: 'MINE' }));
      await closed(made);
    },
  },
  destroySoon: {
    run: async (run) => {
      const made = run.dial(await run.silent());
      made.resume();
      made.write('abc');
      made.destroySoon();
      await closed(made);
    },
  },
  'resetAndDestroy before it is connected': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      made.resetAndDestroy();
      await closed(made);
    },
    differs: {
      why: 'it gives up at once: to connect first could take as long as the peer is away',
      stream: 'close(false)',
    },
  },
  'resetAndDestroy when connected': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      await once(made, 'connect');
      made.resetAndDestroy();
      await closed(made);
    },
  },
  'resetAndDestroy after destroy': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      await once(made, 'connect');
      made.destroy();
      made.resetAndDestroy();
      await closed(made);
    },
  },
  'a timeout, turned off afterwards': {
    run: async (run) => {
      const made = run.dial(await run.silent());
      await once(made, 'ready');
      made.setTimeout(IDLE_MS);
      await once(made, 'timeout');
      run.note(`timeout=${made.timeout}`);
      made.setTimeout(0);
      run.note(`timeout=${made.timeout}`);
      made.destroy();
      await closed(made);
    },
  },
  'a timeout with a callback, from before it is connected': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      run.note(`timeout=${made.timeout}`);
      made.setTimeout(1_000_000, () => run.note('callback'));
      made.resume();
      await once(made, 'ready');
      made.setTimeout(IDLE_MS);
      await once(made, 'timeout');
      made.destroy();
      await closed(made);
      run.note(`timeout=${made.setTimeout(1).timeout}`);
    },
  },
  'wrong timeouts': {
    run: async (run) => {
      const made = run.dial(await run.silent());
      const wrong: readonly unknown[] = [-1, Number.NaN, 'x', undefined, Number.POSITIVE_INFINITY];
      for (const ms of wrong) run.note(codeOf(() => made.setTimeout(ms as number)));
      run.note(codeOf(() => made.setTimeout(1000, 'x' as unknown as () => void)));
      made.destroy();
      await closed(made);
    },
  },
  'pause before it is connected': {
    run: async (run) => {
      const made = run.dial(await run.greeter());
      made.pause();
      await once(made, 'ready');
      await settled();
      run.note(String(made.readableFlowing));
      made.resume();
      await closed(made);
    },
  },
  'an end with a callback': {
    run: async (run) => {
      const made = run.dial(await run.serve((socket) => socket.resume(), true));
      await new Promise<void>((resolve) => {
        made.end('x', (error?: Error) => {
          run.noted('end')(error);
          resolve();
        });
      });
      run.note(made.readyState);
      made.destroy();
      await closed(made);
    },
  },
  'a half-open connection': {
    run: async (run) => {
      let received = '';
      const port = await run.serve((socket) => {
        socket.end('first');
        socket.on('data', (data) => (received += String(data)));
      }, true);
      const made = run.dial(port, { allowHalfOpen: true });
      made.resume();
      await once(made, 'end');
      run.note(made.readyState);
      made.write('more');
      made.end();
      await closed(made);
      while (received.length < 4) await turn();
      run.note(received);
    },
  },
  'the far end ends first': {
    run: async (run) => {
      const made = run.dial(await run.serve((socket) => socket.end('first').resume(), true));
      made.resume();
      await closed(made);
    },
  },
  'its properties': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      const show = (...more: readonly unknown[]): void => {
        const { connecting, pending, readyState, remoteAddress, remoteFamily, bytesWritten, bytesRead } =
          made;
        const shown = [connecting, pending, readyState, remoteAddress, remoteFamily, bytesWritten, bytesRead];
        run.note(inspect([...shown, ...more], { breakLength: Number.POSITIVE_INFINITY }));
      };
      show(made.bufferSize);
      made.write('abc');
      show(made.bufferSize);
      await once(made, 'connect');
      show(typeof made.remotePort);
      await once(made, 'readable');
      const { writableLength, writableHighWaterMark, readableHighWaterMark } = made;
      show(made.bufferSize, writableLength, writableHighWaterMark, readableHighWaterMark);
      made.destroy();
      await closed(made);
      show(made.bufferSize);
    },
  },
  'cork and uncork': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      await once(made, 'connect');
      made.cork();
      for (let times = 0; times < 5; times++) made.write('ab');
      made.uncork();
      let received = '';
      made.on('data', (data) => (received += String(data)));
      while (received.length < 10) await turn();
      run.note(received);
      made.end();
      await closed(made);
    },
  },
  encodings: {
    run: async (run) => {
      const made: Duplex = run.dial(await run.echo());
      made.setEncoding('utf8');
      let received = '';
      made.on('data', (data: unknown) => (received += typeof data === 'string' ? data : 'bytes'));
      made.write('c3bc', 'hex');
      made.write('ü', 'latin1');
      made.end('€', 'utf8');
      await closed(made);
      run.note(received);
    },
  },
  'wrong writes': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      const wrong: readonly unknown[] = [null, 5, {}, undefined];
      for (const chunk of wrong) run.note(codeOf(() => made.write(chunk as string)));
      made.write(Uint8Array.of(65));
      made.end('');
      made.resume();
      await closed(made);
    },
  },
  backpressure: {
    run: async (run) => {
      const made = run.dial(await run.silent(), {}, ['connect', 'ready', 'error', 'close']);
      await once(made, 'ready');
      for (let times = 0; times < 500 && made.write(Buffer.alloc(65_536)); ) times++;
      run.note(`needs drain ${made.writableNeedDrain}`);
      made.destroy();
      await closed(made);
    },
  },
  'an aborted pipeline': {
    run: async (run) => {
      const made = run.dial(await run.silent(), {}, ['connect', 'ready', 'error', 'close']);
      const aborter = new AbortController();
      const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
      const piped = pipeline(made, sink, { signal: aborter.signal });
      await once(made, 'ready');
      aborter.abort();
      const failed = piped.catch((error: unknown) => error);
      await closed(made);
      run.note(codeIn(await failed));
      run.note(String(made.destroyed));
    },
  },
  'a pipeline through it': {
    run: async (run) => {
      const made = run.dial(await run.echo(), {}, ENDINGS);
      let bytes = 0;
      await pipeline(Readable.from([Buffer.alloc(1e6), Buffer.alloc(5)]), made, async (source) => {
        for await (const chunk of source) bytes += (chunk as Buffer).length;
      });
      await closed(made);
      run.note(String(bytes));
    },
  },
  // Not a signal that has aborted before: `net.connect` of Node.js 20 then goes on to connect.
  'a signal that aborts': {
    run: async (run) => {
      const aborter = new AbortController();
      const made = run.dial(await run.silent(), { signal: aborter.signal });
      await once(made, 'connect');
      aborter.abort();
      await closed(made);
    },
  },
  'a break in the loop that reads it': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      made.write('abc');
      for await (const chunk of made) {
        run.note(`got ${(chunk as Buffer).length}`);
        break;
      }
      await closed(made);
      run.note(String(made.destroyed));
    },
  },
  'Symbol.asyncDispose': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      await once(made, 'connect');
      await made[Symbol.asyncDispose]().catch(run.noted('dispose'));
      made.destroy();
      await closed(made);
    },
  },
  'methods that return it': {
    run: async (run) => {
      const made = run.dial(await run.echo());
      run.note(
        String([made.setNoDelay(), made.setKeepAlive(), made.ref(), made.unref()].every((m) => m === made)),
      );
      run.note(typeof Reflect.get(made, 'hasRef'));
      made.destroy();
      await closed(made);
    },
  },
  'many bytes and then the end': {
    run: async (run) => {
      const made = run.dial(await run.echo(), {}, ENDINGS);
      let bytes = 0;
      made.on('data', (data) => (bytes += data.length));
      made.end(Buffer.alloc(2e6));
      await closed(made);
      run.note(String(bytes));
    },
  },
  instanceof: {
    run: async (run) => {
      const made: unknown = run.dial(await run.echo(), {}, []);
      run.note(`${made instanceof Duplex} ${made instanceof Socket}`);
      (made as Made).destroy();
    },
    differs: {
      why: 'it has no handle of the system, which Node.js expects of its own class',
      stream: 'true false',
    },
  },
  'destroy while connecting, with a write': {
    run: async (run) => {
      const made = run.dial(await run.silent());
      made.write('x', run.noted('write'));
      made.destroy();
      await closed(made);
    },
    differs: {
      why: 'callbacks come before `close`, with one code for all bytes that were not sent',
      stream: 'write ERR_STREAM_DESTROYED | close(false)',
    },
  },
  'a reset under backpressure': {
    run: async (run) => {
      const sockets: Socket[] = [];
      const port = await run.serve((socket) => sockets.push(socket.pause()));
      const made = run.dial(port, {}, ['error', 'close']);
      await once(made, 'ready');
      const callbacks = { sent: 0, failed: 0 };
      for (let times = 0; times < 100; times++)
        made.write(Buffer.alloc(1 << 18), (error) => void callbacks[error ? 'failed' : 'sent']++);
      while (sockets.length === 0) await turn();
      sockets[0]?.resetAndDestroy();
      await closed(made);
      run.note(`${callbacks.sent + callbacks.failed} callbacks, some failed: ${callbacks.failed > 0}`);
    },
  },
  'destroy under backpressure': {
    run: async (run) => {
      const made = run.dial(await run.serve((socket) => socket.pause()), {}, ['error', 'close']);
      await once(made, 'ready');
      let callbacks = 0;
      for (let times = 0; times < 100; times++) made.write(Buffer.alloc(1 << 18), () => callbacks++);
      made.destroy();
      await closed(made);
      run.note(`${callbacks} callbacks`);
    },
  },
};

const overNet: Dial = (port, options) => connect({ host: LOOPBACK_HOST, port, ...options });

function overTunnel(t: TestContext): Dial {
  const server = new TargetServer({ peer: 'connector', rules: new AllowRules([LOOPBACK_ONLY]) });
  const { near, far } = sessionPair((request) => server.handle(request));
  const gate = new StreamGate();
  gate.setSession(near);
  t.after(() => {
    gate.close();
    server.close();
    near.close('peer-shutdown');
    far.close('peer-shutdown');
  });
  return (port, options) =>
    new DialedStream({
      peer: STREAM_PEER,
      gate,
      timers: systemTimers,
      target: { kind: 'tcp', host: LOOPBACK_HOST, port },
      ...options,
    });
}

describe('a dialled stream does the same as a net.Socket', () => {
  for (const [name, { run, differs }] of Object.entries(SCENARIOS)) {
    const title = differs === undefined ? name : `${name}, except that ${differs.why}`;
    test(title, async (t) => {
      const [net, stream] = [new Run(t, overNet), new Run(t, overTunnel(t))];
      await run(net);
      await run(stream);
      const [expected, actual] = [net.log.join(' | '), stream.log.join(' | ')];
      assert.equal(actual, differs?.stream ?? expected);
      if (differs !== undefined)
        assert.notEqual(actual, expected, 'it no longer differs: say so in the docs');
    });
  }
});
