import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { patternDigest, patternPieces } from '../support/pattern.js';
import { EchoStream, PeerWorld } from '../support/peer_world.js';

const PATIENCE_MS = 20_000;
const TOTAL_BYTES = 1024 * 1024;

async function echo(world: PeerWorld, seed: string, bytes = TOTAL_BYTES): Promise<EchoStream> {
  const stream = new EchoStream(world, patternPieces(seed, bytes));
  assert.ok(await world.until(() => stream.accept(world), 5_000), 'the request has arrived');
  return stream;
}

function digestOf({ received }: EchoStream): string {
  const hash = createHash('sha256');
  for (const chunk of received) hash.update(chunk);
  return hash.digest('hex');
}

async function assertArrives(
  world: PeerWorld,
  stream: EchoStream,
  seed: string,
  bytes = TOTAL_BYTES,
): Promise<void> {
  await world.until(() => stream.ended || stream.resets.length > 0, 30_000);
  assert.deepEqual(stream.resets, []);
  assert.equal(stream.receivedBytes, bytes);
  assert.equal(digestOf(stream), patternDigest(seed, bytes));
  assert.ok(stream.ended);
}

/** Codes about status and messages, without repeated hellos, whose number does not matter here. */
function statusOf({ codes }: { readonly codes: readonly number[] }): number[] {
  return codes.filter((code) => code !== 201);
}

async function inTheMiddle(world: PeerWorld, stream: EchoStream): Promise<void> {
  assert.ok(await world.until(() => stream.receivedBytes > TOTAL_BYTES / 10, 10_000));
  assert.ok(stream.receivedBytes < TOTAL_BYTES);
}

describe('an outage', () => {
  for (const [name, noticed] of [
    ['noticed at once', {}],
    ['noticed by the connector first', { connectorMs: 0, listenerMs: 3_000 }],
    ['noticed by the listener first', { connectorMs: 3_000, listenerMs: 0 }],
  ] as const) {
    test(`shorter than the patience, ${name}: the streams resume, byte for byte`, async () => {
      const world = new PeerWorld({ patienceMs: PATIENCE_MS });
      await world.online();
      const stream = await echo(world, 'short');
      await inTheMiddle(world, stream);
      await world.outage(noticed);
      await world.pass(PATIENCE_MS - 4_000);
      await world.online();
      await assertArrives(world, stream, 'short');
      assert.deepEqual(statusOf(world.connector), [301, 302, 301]);
      assert.deepEqual(statusOf(world.listener), [301, 302, 301]);
      assert.equal(world.connector.node.channels.length, 1);
    });

    test(`longer than the patience, ${name}: the streams are reset at both ends, and new ones work`, async () => {
      const world = new PeerWorld({ patienceMs: PATIENCE_MS });
      await world.online();
      const stream = await echo(world, 'long');
      await inTheMiddle(world, stream);
      await world.outage(noticed);
      await world.pass(PATIENCE_MS - 4_000);
      assert.deepEqual(stream.resets, []);
      await world.pass(5_000);
      const ends = stream.resets.map(({ end, reason, remote }) => `${end} ${reason} ${remote}`).sort();
      assert.deepEqual(ends, ['connector peer-silent false', 'listener peer-silent false']);
      assert.equal(world.timers.running, 0);
      await world.online();
      await assertArrives(world, await echo(world, 'next'), 'next');
      assert.deepEqual(statusOf(world.connector), [301, 302, 204, 301]);
      assert.deepEqual(statusOf(world.listener), [301, 302, 204, 301]);
    });
  }

  test('without patience resets the streams at once, and the next session works', async () => {
    const world = new PeerWorld({});
    await world.online();
    const stream = await echo(world, 'none');
    await inTheMiddle(world, stream);
    await world.outage();
    assert.equal(stream.resets.length, 2);
    await world.online();
    await assertArrives(world, await echo(world, 'next'), 'next');
    assert.deepEqual(statusOf(world.connector), [301, 302, 204, 301]);
  });

  test('that nobody notices becomes a silence: the streams wait, and a hello resumes them', async () => {
    const world = new PeerWorld({ patienceMs: 120_000 });
    await world.online();
    const stream = await echo(world, 'silence');
    await inTheMiddle(world, stream);
    world.cut();
    await world.pass(40_000);
    assert.deepEqual(statusOf(world.connector), [301, 302]);
    assert.deepEqual(stream.resets, []);
    await world.online();
    await assertArrives(world, stream, 'silence');
  });

  for (const end of ['connector', 'listener'] as const) {
    test(`that only the ${end} has seen: the streams resume`, async () => {
      const world = new PeerWorld({ patienceMs: PATIENCE_MS });
      await world.online();
      const stream = await echo(world, end);
      await inTheMiddle(world, stream);
      await world.flap(end, 2_000);
      await world.pass(PATIENCE_MS + 5_000);
      await assertArrives(world, stream, end);
      assert.deepEqual(statusOf(world[end]), [301, 302, 301]);
    });
  }

  test('that only the listener has seen, without patience: the connector returns by itself', async () => {
    const world = new PeerWorld({});
    await world.online();
    await world.flap('listener', 1_000);
    await world.pass(40_000);
    assert.ok(world.connector.peer.isOnline && world.listener.peer.isOnline);
    await assertArrives(world, await echo(world, 'again'), 'again');
  });
});

describe('a new process', () => {
  test("of the listener: the connector's streams are reset, and its forwards get the new session", async () => {
    const world = new PeerWorld({ patienceMs: PATIENCE_MS });
    await world.online();
    const stream = await echo(world, 'old');
    await inTheMiddle(world, stream);
    world.replace('listener');
    await world.outage();
    await world.pass(5_000);
    await world.online();
    assert.deepEqual(
      stream.resets.filter(({ end }) => end === 'connector'),
      [{ end: 'connector', reason: 'session-replaced', remote: false }],
    );
    const given = world.connector.sessions.map((session) => session !== undefined);
    assert.deepEqual(given, [true, false, true], 'never two at once');
    await assertArrives(world, await echo(world, 'new'), 'new');
    const again = world.connector.session;
    await world.outage();
    await world.pass(5_000);
    await world.online();
    assert.ok(again !== undefined);
    assert.equal(world.connector.session, again, 'the new session also survives an outage');
  });

  test("of the connector: the listener's streams are reset, and the new process is served", async () => {
    const world = new PeerWorld({ patienceMs: PATIENCE_MS });
    await world.online();
    const stream = await echo(world, 'old');
    await inTheMiddle(world, stream);
    world.replace('connector');
    world.listener.peer.friendPath('none');
    await world.pass(5_000);
    await world.online();
    assert.deepEqual(
      stream.resets.filter(({ end }) => end === 'listener'),
      [{ end: 'listener', reason: 'session-replaced', remote: false }],
    );
    await assertArrives(world, await echo(world, 'new'), 'new');
    assert.equal(world.listener.node.open.length, 1);
  });

  test('of the listener after a goodbye: the connector joins it', async () => {
    const world = new PeerWorld({ patienceMs: PATIENCE_MS });
    await world.online();
    const stream = await echo(world, 'bye');
    await inTheMiddle(world, stream);
    const closing = world.listener.peer.close('peer-shutdown');
    await world.pass(1_500);
    await closing;
    assert.ok(stream.resets.some(({ end, reason }) => end === 'connector' && reason === 'peer-shutdown'));
    world.replace('listener');
    await world.outage();
    await world.online();
    await assertArrives(world, await echo(world, 'new'), 'new');
  });
});

test('whatever happens, both return to one working session, and no stream carries a wrong byte', async () => {
  const wait = fc.integer({ min: 1, max: 8_000 });
  const event = fc.oneof(
    fc.record({ kind: fc.constant('outage' as const), wait, connectorMs: wait, listenerMs: wait }),
    fc.record({ kind: fc.constant('flap' as const), wait, end: fc.constantFrom('connector', 'listener') }),
    fc.record({ kind: fc.constant('replace' as const), wait, end: fc.constantFrom('connector', 'listener') }),
    fc.record({ kind: fc.constant('stream' as const), wait }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0, 3_000, 60_000),
      fc.integer(),
      fc.array(event, { minLength: 1, maxLength: 8, size: 'max' }),
      async (patienceMs, seed, events) => {
        const world = new PeerWorld({ patienceMs, seed });
        const streams: EchoStream[] = [];
        const bytes = 256 * 1024;
        await world.online();
        for (const what of events) {
          if (what.kind === 'outage') await world.outage(what);
          else if (what.kind === 'flap') await world.flap(what.end, what.wait);
          else if (what.kind === 'replace') {
            world.replace(what.end);
            await world.outage();
          } else if (world.connector.session !== undefined) {
            const stream = new EchoStream(world, patternPieces('fuzz', bytes));
            streams.push(stream);
            await world.until(() => stream.accept(world), 500);
          }
          await world.pass(what.wait % 700);
          if (what.kind === 'outage' || what.kind === 'replace') await world.online();
        }
        await world.pass(75_000);
        assert.ok(world.connector.peer.isOnline && world.listener.peer.isOnline);
        const [near, far] = [world.connector.node.open, world.listener.node.open];
        assert.deepEqual([near.length, far.length], [1, 1]);
        assert.equal(near[0]?.tag, far[0]?.tag);
        world.listener.requests.length = 0;
        await assertArrives(world, await echo(world, 'last', bytes), 'last', bytes);
        for (const stream of streams) {
          const whole = Buffer.concat([...patternPieces('fuzz', bytes)]);
          assert.ok(whole.subarray(0, stream.receivedBytes).equals(Buffer.concat(stream.received)));
          assert.ok(!stream.ended || stream.receivedBytes === bytes);
        }
      },
    ),
    { numRuns: 25 },
  );
});
