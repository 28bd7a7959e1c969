/** A hostile peer that was admitted, next to an honest one: docs/reference/limits.md. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { STREAM_BYTES } from '../../src/mux/stream/receive_memory.js';
import type { MuxStream, OpenRequest } from '../../src/mux/stream/stream_api.js';
import { readRule } from '../../src/rules/expose.js';
import { parseReverseRule } from '../../src/rules/reverse_rule.js';
import { ReverseBook, RuleBook } from '../../src/rules/rule_book.js';
import {
  Attacker,
  type AttackerOptions,
  datagramPart,
  listenFrame,
  offsetFrame,
  openFrame,
  pathFrame,
  REASON,
  reasonFrame,
  streamId,
  TYPES,
  udpFrame,
} from '../support/attacker.js';
import { turn } from '../support/fake_node.js';
import { patternDigest, patternPieces } from '../support/pattern.js';
import { PING } from '../support/peer_bench.js';
import { EchoStream, PeerWorld } from '../support/peer_world.js';

const TOTAL_BYTES = 1024 * 1024;
const MIB = 1024 * 1024;

const book = (...rules: string[]): RuleBook =>
  new RuleBook(rules.map((text) => readRule(text, () => false).rule));

interface Scene {
  readonly attacker: Attacker;
  /** The honest peer's stream. */
  readonly honest: EchoStream;
  readonly round: number;
}

/**
 * An honest peer echoes a megabyte while the other peer attacks every 50 ms. Every byte of the honest peer
 * must arrive, in a time that does not depend on the attack.
 */
async function besides(
  options: Omit<AttackerOptions, 'timers'>,
  assault: (scene: Scene) => Promise<void> | void,
): Promise<Attacker> {
  const world = new PeerWorld({});
  await world.online();
  const honest = new EchoStream(world, patternPieces('honest', TOTAL_BYTES));
  assert.ok(await world.until(() => honest.accept(world), 5_000));
  const attacker = new Attacker({ ...options, timers: world.timers });
  await attacker.join();
  let round = 0;
  while (!honest.ended && honest.resets.length === 0 && round < 200) {
    await assault({ attacker, honest, round: round++ });
    await world.pass(50);
  }
  assert.ok(round > 3, 'the attack ran while bytes flowed');
  assert.deepEqual(honest.resets, []);
  assert.equal(honest.receivedBytes, TOTAL_BYTES);
  const hash = createHash('sha256');
  for (const chunk of honest.received) hash.update(chunk);
  assert.equal(hash.digest('hex'), patternDigest('honest', TOTAL_BYTES));
  assert.ok(world.listener.peer.isOnline);
  return attacker;
}

describe('opens to targets that are not allowed', () => {
  const DENIED: readonly (readonly [string, number])[] = [
    ['localhost', 23],
    ['127.0.0.1', 23],
    ['127.1', 22],
    ['127.0.0.01', 22],
    ['0177.0.0.1', 22],
    ['0x7f.0.0.1', 22],
    ['0x7f000001', 22],
    ['2130706433', 22],
    ['017700000001', 22],
    ['127.0.0.1.', 22],
    ['::ffff:10.0.0.5', 22],
    ['::ffff:a00:5', 22],
    ['0:0:0:0:0:ffff:a00:5', 22],
    ['::ffff:0:127.0.0.1', 22],
    ['64:ff9b::7f00:1', 22],
    ['::127.0.0.1', 22],
    ['[::1]', 22],
    ['::1%lo', 22],
    ['fe80::1%eth0', 22],
    ['10.0.0.5', 22],
    ['10.1.0.5', 81],
    ['10.2.0.5', 80],
    ['169.254.169.254', 80],
    ['0.0.0.0', 22],
    ['0', 22],
    ['0.1.2.3', 22],
    ['::', 22],
    ['::ffff:0.0.0.0', 22],
    ['255.255.255.255', 22],
    ['224.0.0.1', 80],
    ['evil.example', 22],
    ['mapped.example', 22],
    ['zero.example', 22],
    ['meta.example', 80],
    ['mixed.example', 80],
    ['db.example', 22],
    ['db.example.evil.example', 5432],
    ['xn--lcalhost-23a', 22],
    ['localhost.evil.example', 22],
    ['a..b', 22],
    ['local%68ost', 22],
    ['localhost\'"`$(reboot)', 22],
  ];
  const NAMES: Readonly<Record<string, readonly string[]>> = {
    'evil.example': ['10.0.0.5'],
    'localhost.evil.example': ['192.168.0.1'],
    'mapped.example': ['::ffff:10.0.0.5'],
    'zero.example': ['0.0.0.0', '::', '::ffff:0.0.0.0'],
    'meta.example': ['169.254.169.254', 'fe80::1'],
    'mixed.example': ['10.0.0.5', '10.2.0.1', '::ffff:10.3.0.1'],
  };
  const RULES = ['localhost:22', 'db.example:5432', '10.1.0.0/16:80', '0.0.0.0/0:1', '*:1'];

  for (const rules of [RULES, [...RULES].reverse()]) {
    test(`are refused and counted under any name or spelling, and nothing is dialled (rules from ${rules[0]} on)`, async () => {
      const reasons: number[] = [];
      const attacker = await besides(
        { rules: book(...rules), resolve: async (name) => NAMES[name] ?? [] },
        async ({ attacker, round }) => {
          const from = round * DENIED.length;
          // Alternates between TCP and UDP.
          const open = round % 2 === 0 ? openFrame : udpFrame;
          attacker.send(...DENIED.map(([host, port], index) => open(streamId(from + index), host, port)));
          const now = await attacker.take(TYPES.refused);
          // Two names are looked up for a rule about a network: their answer takes a second.
          assert.ok(now.length >= DENIED.length - 2);
          reasons.push(...now);
        },
      );
      assert.ok(
        reasons.every((reason) => reason === REASON.notAllowed),
        reasons.join(),
      );
      assert.deepEqual(attacker.dialled, []);
      assert.deepEqual(new Set(attacker.resolved), new Set(['meta.example', 'mixed.example']));
      assert.ok((attacker.server?.counts.denied ?? 0) > DENIED.length);
      assert.equal(attacker.server?.counts.opened, 0);
      // Two a round, every 50 ms, still wait for the answer that takes a second.
      assert.ok((attacker.stats?.streams ?? 0) <= 40);
    });
  }

  test('a name that resolves differently the second time is looked up once, and the checked address is dialled', async () => {
    const answers = [['127.0.0.1'], ['10.0.0.5']];
    let asked = 0;
    const attacker = await besides(
      { rules: book('rebind.example:22', 'localhost:22'), resolve: async () => answers[asked++ % 2] ?? [] },
      ({ attacker, round }) => {
        if (round === 0) attacker.send(openFrame(streamId(1), 'rebind.example', 22));
      },
    );
    assert.deepEqual(attacker.resolved, ['rebind.example']);
    assert.deepEqual(attacker.dialled, ['127.0.0.1 22']);
  });

  test('a rule removed during name resolution no longer applies', async () => {
    const rules = book('*:80');
    let answer: (addresses: readonly string[]) => void = () => {};
    const attacker = await besides(
      { rules, resolve: () => new Promise((resolve) => (answer = resolve)) },
      async ({ attacker, round }) => {
        if (round === 0) {
          attacker.send(openFrame(streamId(1), 'slow.example', 80));
          await turn();
          for (const rule of rules.list()) rules.remove(rule);
          answer(['192.0.2.1']);
          assert.deepEqual(await attacker.take(TYPES.refused), [REASON.notAllowed]);
        }
      },
    );
    assert.deepEqual(attacker.dialled, []);
  });
});

describe('opens to paths, and reverse ports, that are not allowed', () => {
  const PATHS = [
    '/run/app.sock2',
    '/run/../run/app.sock',
    '/run/./app.sock',
    '//run/app.sock',
    '/run/app.sock/',
    'run/app.sock',
    '/run/APP.sock',
    '/var/run/docker.sock',
    '\\\\.\\pipe\\docker_engine',
    '*',
  ];

  test('reach no socket, whatever else is open', async () => {
    const attacker = await besides(
      { rules: book('*:*', 'localhost:*', '/run/app.sock') },
      async ({ attacker, round }) => {
        attacker.send(...PATHS.map((path, index) => pathFrame(streamId(round * 100 + index), path)));
        const reasons = await attacker.take(TYPES.refused);
        assert.deepEqual(
          reasons,
          PATHS.map(() => REASON.notAllowed),
        );
      },
    );
    assert.deepEqual(attacker.dialled, []);
    assert.ok((attacker.server?.counts.denied ?? 0) > PATHS.length);
  });

  test('open no port without --allow-reverse, nor outside what it allows', async () => {
    for (const reverse of [new ReverseBook(), new ReverseBook([parseReverseRule('1-9')])]) {
      const attacker = await besides({ rules: book('*:*'), reverse }, async ({ attacker, round }) => {
        const asked = [
          ['127.0.0.1', 0],
          ['127.0.0.1', 8080],
          ['0.0.0.0', 1],
          ['::', 1],
          ['localhost', 10],
          ['localhost.evil.example', 1],
        ] as const;
        attacker.send(
          ...asked.map(([host, port], index) => listenFrame(streamId(round * 100 + index), host, port)),
        );
        const reasons = await attacker.take(TYPES.refused);
        assert.deepEqual(
          reasons,
          asked.map(() => REASON.notAllowed),
        );
      });
      assert.equal(attacker.ports.count, 0);
      assert.deepEqual(attacker.resolved, []);
    }
  });

  test('are refused beyond the port limit, even on streams with UUIDs of any form', async () => {
    const reverse = new ReverseBook([parseReverseRule('0')]);
    const attacker = await besides({ rules: book('*:*'), reverse }, async ({ attacker, round }) => {
      if (round > 0) return;
      attacker.send(
        ...[1, 2, 3, 4].map((byte) => listenFrame(new Uint8Array(16).fill(byte), '127.0.0.1', 0)),
      );
      assert.deepEqual(await attacker.take(TYPES.refused), [REASON.limit, REASON.limit]);
    });
    assert.equal(attacker.ports.count, 2);
    attacker.ports.close();
    assert.equal(attacker.ports.count, 0);
  });
});

describe("frames for another peer's stream", () => {
  test('reach nobody, whatever they are', async () => {
    const attacker = await besides({ rules: book('localhost:22') }, ({ attacker, honest, round }) => {
      const id = honest.idBytes;
      attacker.send(
        offsetFrame(TYPES.data, id, round * 7, 7),
        offsetFrame(TYPES.end, id, 0),
        offsetFrame(TYPES.credit, id, 2 ** 50),
        offsetFrame(TYPES.opened, id, 2 ** 50),
        reasonFrame(TYPES.reset, id, 7),
        reasonFrame(TYPES.refused, id, 5),
      );
    });
    assert.ok(attacker.isOnline);
    assert.equal(attacker.stats?.streams, 0);
  });

  test('an OPEN with its UUID is a separate stream, and its end leaves the other one alone', async () => {
    const attacker = await besides({}, ({ attacker, honest, round }) => {
      if (round % 2 === 0) {
        const [request] = attacker.send(openFrame(honest.idBytes, 'h', 1));
        request?.accept({});
        attacker.send(offsetFrame(TYPES.data, honest.idBytes, 0, 100));
      } else attacker.send(reasonFrame(TYPES.reset, honest.idBytes, 7));
    });
    assert.ok(attacker.isOnline);
  });
});

describe('credit overruns', () => {
  const FAULTS: readonly (readonly [string, (id: Uint8Array) => Uint8Array[]])[] = [
    ['one byte beyond the credit', (id) => [offsetFrame(TYPES.data, id, 262_144, 1)]],
    ['far beyond the credit', (id) => [offsetFrame(TYPES.data, id, 2 ** 52, 100)]],
    ['an offset that cannot be counted', (id) => [offsetFrame(TYPES.data, id, 2 ** 53 - 1, 100)]],
    ['an END beyond the credit', (id) => [offsetFrame(TYPES.end, id, 262_145)]],
    ['the same bytes twice', (id) => [offsetFrame(TYPES.data, id, 5, 9), offsetFrame(TYPES.data, id, 5, 9)]],
  ];
  for (const [name, frames] of FAULTS) {
    test(`${name}: ends the session of the offender, and no other`, async () => {
      const attacker = await besides({}, ({ attacker, round }) => {
        if (round > 0) return;
        const [request] = attacker.send(openFrame(streamId(1), 'h', 1));
        request?.accept({});
        attacker.send(...frames(streamId(1)));
      });
      assert.ok(!attacker.isOnline);
      const bye = attacker.frames.find(([type]) => type === TYPES.bye);
      assert.equal(bye?.[18], REASON.protocolError);
    });
  }
});

describe('a slow or greedy peer', () => {
  test("opens to targets that never answer use only the peer's own dials, and at most half of them", async () => {
    let rounds = 0;
    const dials = (address: string): number =>
      attacker.dialled.filter((line) => line === `${address} 80`).length;
    const attacker = await besides(
      { rules: book('*:*'), limits: { maxDials: 16, maxOpensPerSecond: 1000 } },
      async ({ attacker, round }) => {
        rounds = round + 1;
        const opens = Array.from({ length: 30 }, (_, index) =>
          openFrame(streamId(round * 31 + index), '192.0.2.1', 80),
        );
        attacker.send(...opens);
        assert.deepEqual(await attacker.take(TYPES.refused), []);
        // Another target of the same peer still gets its dial, which is then cancelled.
        const id = streamId(round * 31 + 30);
        attacker.send(openFrame(id, '192.0.2.2', 80));
        await turn();
        attacker.send(reasonFrame(TYPES.reset, id, 8));
        assert.deepEqual(await attacker.take(TYPES.refused), [REASON.cancelled]);
      },
    );
    assert.ok(attacker.isOnline);
    assert.equal(dials('192.0.2.1'), 8);
    assert.equal(dials('192.0.2.2'), rounds);
    attacker.server?.close();
  });

  test('opens beyond the rate wait before anything is dialled, and are dialled at the rate', async () => {
    let sent = 0;
    let rounds = 0;
    const attacker = await besides(
      { rules: book('*:*'), limits: { maxDials: 4096, maxOpensPerSecond: 10 } },
      async ({ attacker, round }) => {
        // No more than may be unanswered: one more ends the session, as tested below.
        const opens = Array.from({ length: Math.min(200, 4096 - sent) }, (_, index) =>
          openFrame(streamId(sent + index), `192.0.2.${sent + index}`, 80),
        );
        sent += opens.length;
        attacker.send(...opens);
        assert.deepEqual(await attacker.take(TYPES.refused), []);
        rounds = round + 1;
      },
    );
    assert.ok(attacker.isOnline);
    const opened = attacker.dialled.length;
    // 20 at once, then 10 per second; a round takes 50 ms.
    assert.ok(opened >= 20 && opened <= 20 + rounds, String(opened));
    assert.equal(attacker.stats?.streams, sent);
    attacker.server?.close();
  });

  test('alternating opens and resets cost us no memory, and delay no other peer', async () => {
    let most = 0;
    const attacker = await besides(
      { rules: book('*:*'), limits: { maxOpensPerSecond: 1 } },
      async ({ attacker, round }) => {
        const ids = Array.from({ length: 200 }, (_, index) => streamId(round * 200 + index));
        attacker.send(
          ...ids.map((id) => openFrame(id, '192.0.2.1', 80)),
          ...ids.map((id) => reasonFrame(TYPES.reset, id, 8)),
        );
        const reasons = await attacker.take(TYPES.refused);
        assert.equal(reasons.length, 200);
        assert.ok(reasons.every((reason) => reason === REASON.cancelled));
        most = Math.max(most, attacker.stats?.streams ?? 0);
      },
    );
    assert.equal(most, 0);
    assert.deepEqual(attacker.dialled, []);
    attacker.server?.close();
  });

  test('more unanswered opens than the limit end its session, however slowly they are served', async () => {
    const attacker = await besides(
      { rules: book('*:*'), limits: { maxOpensPerSecond: 1 } },
      ({ attacker, round }) => {
        attacker.send(
          ...Array.from({ length: 2000 }, (_, index) =>
            openFrame(streamId(round * 2000 + index), '192.0.2.1', 80),
          ),
        );
      },
    );
    assert.ok(!attacker.isOnline);
    assert.equal(attacker.frames.find(([type]) => type === TYPES.bye)?.[18], REASON.protocolError);
    assert.equal(attacker.stats?.streams ?? 0, 0);
    attacker.server?.close();
  });

  test('a peer that never reads makes us keep no more than the high-water mark of each stream', async () => {
    const streams: MuxStream[] = [];
    const piece = new Uint8Array(16 * 1024);
    const attacker = await besides({}, ({ attacker, round }) => {
      if (round < 10) {
        const [request] = attacker.send(openFrame(streamId(round), 'h', 1));
        if (request !== undefined) streams.push(request.accept({}));
        // The peer takes nothing, and gives no credit beyond the first.
        attacker.listener.node.newest.room = attacker.frames.length + 5;
      }
      attacker.send(PING);
      // As a pipe does: write until refused, and then only when there is room.
      for (const stream of streams) {
        while (stream.backlogBytes < 256 * 1024 && stream.write(piece)) assert.ok(!stream.isClosed);
      }
    });
    assert.ok(streams.length > 3);
    const backlogBytes = attacker.stats?.backlogBytes ?? 0;
    assert.ok(backlogBytes >= MIB && backlogBytes <= streams.length * (256 * 1024 + piece.length));
  });

  test('gaps in thousands of streams hold no more memory than the limit of one peer', async () => {
    const limits = { maxPeerBufferBytes: 4 * MIB, maxOpensPerSecond: 10_000 };
    let most = 0;
    const attacker = await besides({ limits }, ({ attacker, round }) => {
      const ids = Array.from({ length: 100 }, (_, index) => streamId(round * 100 + index));
      for (const request of attacker.send(...ids.map((id) => openFrame(id, 'h', 1)))) {
        request.accept({ onReset: () => assert.fail('no stream is reset') });
      }
      attacker.send(...ids.map((id) => offsetFrame(TYPES.data, id, 9, 1)));
      const { heldBytes = 0, reservedBytes = 0, streams = 0 } = attacker.stats ?? {};
      assert.ok(heldBytes <= reservedBytes && reservedBytes <= 4 * MIB + streams * STREAM_BYTES);
      most = Math.max(most, heldBytes);
    });
    assert.ok(attacker.isOnline);
    assert.ok(most > MIB, String(most));
  });
});

describe('datagrams that never become complete', () => {
  test('hold no more memory in a thousand streams than the limit of one peer, and end no session', async () => {
    let most = 0;
    const ids = Array.from({ length: 1000 }, (_, index) => streamId(index));
    const attacker = await besides({}, ({ attacker, round }) => {
      if (round === 0)
        for (const request of attacker.send(...ids.map((id) => udpFrame(id, 'h', 1)))) accept(request);
      // Each stream may hold eight incomplete datagrams.
      attacker.send(...ids.map((id) => datagramPart(id, round, 1300)));
      attacker.send(...ids.map((id) => datagramPart(id, round + 1e6, 1300)));
      most = Math.max(most, attacker.stats?.datagramBytes ?? 0);
    });
    assert.ok(attacker.isOnline);
    assert.ok(most > 7 * MIB && most <= 8 * MIB, String(most));
    assert.ok((attacker.stats?.datagramsDropped ?? 0) > 1000);
  });
});

describe('a flood of control frames', () => {
  const limits = { maxControlFramesPerSecond: 1000, maxOpensPerSecond: 100 };
  const id = streamId(1);
  const FLOODS: readonly (readonly [string, (number: number) => Uint8Array])[] = [
    ['PING', () => PING],
    ['CREDIT for a stream', (number) => offsetFrame(TYPES.credit, id, number)],
    ['CREDIT for an unknown stream', (number) => offsetFrame(TYPES.credit, streamId(number + 9), number)],
    ['RESET for an unknown stream', (number) => reasonFrame(TYPES.reset, streamId(number + 9), 7)],
    ['OPEN', (number) => openFrame(streamId(number + 9), 'h', 1)],
  ];
  const strayFrames = (number: number): Uint8Array => offsetFrame(TYPES.data, streamId(number + 9), 0, 1);
  test('and one of DATA for streams that are not open holds back requests, then ends its own session', async () => {
    let sent = 0;
    let opened = 0;
    const attacker = await besides({ limits }, ({ attacker }) => {
      if (!attacker.isOnline) return;
      const stray = Array.from({ length: 1200 }, () => strayFrames(sent++));
      opened += attacker.send(...stray, openFrame(streamId(1_000_000 + sent), 'h', 1)).length;
    });
    assert.ok(!attacker.isOnline);
    assert.ok(sent > 4000 && sent <= 6000, String(sent));
    assert.equal(opened, 1);
    assert.equal(attacker.frames.find(([type]) => type === TYPES.bye)?.[18], REASON.limit);
  });

  for (const [name, flood] of FLOODS) {
    test(`of ${name} ends its own session with a limit, and no other`, async () => {
      let sent = 0;
      const attacker = await besides({ limits }, ({ attacker, round }) => {
        if (round === 0) for (const request of attacker.send(openFrame(id, 'h', 1))) accept(request);
        if (!attacker.isOnline) return;
        attacker.send(...Array.from({ length: 1000 }, () => flood(sent++)));
        // Replies do not pile up: one PONG answers all PINGs of a batch.
        if (name === 'PING') assert.ok(attacker.frames.length <= 2 + 2 * (round + 1));
      });
      assert.ok(!attacker.isOnline);
      assert.ok(sent <= 3000, String(sent));
      assert.equal(attacker.frames.find(([type]) => type === TYPES.bye)?.[18], REASON.limit);
    });
  }
});

function accept(request: OpenRequest): void {
  request.accept({});
}
