/**
 * GHSA-42vg-9mg3-399f: toxcore 0.2.22 builds the answer to a group announce in a buffer that four close nodes
 * and four stored announces overflow. This test sends them, and checks that no node stores them.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import sodium from 'libsodium-wrappers';
import { newAddress } from '../../src/worker/tox/memory.js';
import type { SimHost } from '../support/sim_network.js';
import { ToxWorld, UDP_PORT } from '../support/tox_world.js';

const ANNOUNCE_REQUEST = 0x87;
const ANNOUNCE_RESPONSE = 0x88;
const ONION_RECV_3 = 0x8c;
/** The return path that three onion hops would have written; useless to a sender that asks directly. */
const ONION_RETURN_BYTES = 177;
const ATTACKER_PORT = 6000;

before(() => sodium.ready);

/** The node under attack: its address and its DHT key. */
interface Victim {
  readonly ip: string;
  readonly key: Uint8Array;
}

class Attacker {
  readonly #world: ToxWorld;
  readonly #host: SimHost;
  readonly #socket: number;
  readonly #keys = sodium.crypto_box_keypair();

  constructor(world: ToxWorld) {
    this.#world = world;
    this.#host = world.machine().host;
    this.#socket = this.#host.socket(2, 2);
    this.#host.bind(this.#socket, { ...newAddress(), port: ATTACKER_PORT });
  }

  /** Sends an onion announce request with `extra` as group data, and returns the decrypted answers. */
  ask(victim: Victim, extra: Uint8Array): Uint8Array[] {
    const nonce = sodium.randombytes_buf(24);
    // Ping id, searched key, key for data, and eight bytes that come back.
    const plain = Buffer.concat([sodium.randombytes_buf(32 + 32 + 32), Buffer.from('sendback'), extra]);
    const boxed = sodium.crypto_box_easy(plain, nonce, victim.key, this.#keys.privateKey);
    const request = [Uint8Array.of(ANNOUNCE_REQUEST), nonce, this.#keys.publicKey, boxed];
    const whole = Buffer.concat([...request, new Uint8Array(ONION_RETURN_BYTES)]);
    this.#host.inject(whole, ATTACKER_PORT, { ip: victim.ip, port: UDP_PORT });
    this.#world.run(() => false, 40);
    return this.#answers(victim);
  }

  #answers(victim: Victim): Uint8Array[] {
    const answers: Uint8Array[] = [];
    const into = Buffer.alloc(2048);
    for (;;) {
      const length = this.#host.recvFrom(this.#socket, into, newAddress());
      if (length < 0) return answers;
      if (into[0] !== ONION_RECV_3) continue;
      const answer = into.subarray(1 + ONION_RETURN_BYTES, length);
      assert.equal(answer[0], ANNOUNCE_RESPONSE);
      assert.equal(answer.subarray(1, 9).toString(), 'sendback');
      const nonce = answer.subarray(9, 33);
      answers.push(
        sodium.crypto_box_open_easy(answer.subarray(33), nonce, victim.key, this.#keys.privateKey),
      );
    }
  }
}

/** The largest group announce, 136 bytes: group, peer, an address and a relay, both IPv6. */
function groupAnnounce(group: number, peer: number): Uint8Array {
  const address = Buffer.from(`0a${'20'.repeat(16)}8235`, 'hex');
  const relayAddress = Buffer.from(`8a${'21'.repeat(16)}0d3d`, 'hex');
  const key = (fill: number) => Buffer.alloc(32, fill);
  return Buffer.concat([key(group), key(peer), Uint8Array.of(1, 1), address, relayAddress, key(0x77)]);
}

/** The number of nodes in an answer: it follows one state byte and the ping id. */
function nodeCount(answer: Uint8Array): number {
  return answer[33]!;
}

/** Whether an answer ends after its nodes: 39 bytes each, since all have IPv4 here. */
function isPlain(answer: Uint8Array): boolean {
  return answer.length === 34 + 39 * nodeCount(answer);
}

/** Places a victim among five nodes, so that its answers have their maximum length. */
function crowd(world: ToxWorld): { readonly ip: string; readonly key: Uint8Array }[] {
  const nodes = Array.from({ length: 5 }, () => world.node());
  for (const { node } of nodes) {
    for (const other of nodes)
      if (other.node !== node) node.bootstrap(other.ip, UDP_PORT, other.node.publicKey);
  }
  return nodes.map(({ ip, node }) => ({ ip, key: node.publicKey }));
}

function attack(world: ToxWorld, victim: Victim): void {
  const attacker = new Attacker(world);
  let answers: Uint8Array[] = [];
  for (let tries = 0; tries < 30 && (answers.length === 0 || nodeCount(answers[0]!) < 4); tries++) {
    world.run(() => false, 2000);
    answers = attacker.ask(victim, new Uint8Array(0));
  }
  assert.equal(answers.length, 1, 'a plain request is answered');
  assert.equal(nodeCount(answers[0]!), 4, 'with the maximum number of nodes');
  assert.equal(isPlain(answers[0]!), true);

  for (let peer = 1; peer <= 8; peer++) {
    assert.deepEqual(attacker.ask(victim, groupAnnounce(0x42, peer)), [], 'a group announce gets no answer');
  }
  // Shorter group data, and data that does not unpack.
  assert.deepEqual(attacker.ask(victim, new Uint8Array(1)), []);
  assert.deepEqual(attacker.ask(victim, new Uint8Array(135)), []);

  const after = attacker.ask(victim, new Uint8Array(0));
  assert.equal(after.length, 1, 'it keeps working');
  assert.equal(isPlain(after[0]!), true);
  assert.equal(nodeCount(after[0]!), 4);
}

test('a Tox instance stores no group announces, so none overflows its answer', () => {
  const world = new ToxWorld();
  const nodes = crowd(world);
  const person = world.person();
  for (const { ip, key } of nodes) person.tox.bootstrap(ip, UDP_PORT, key);
  const ip = `198.51.100.${nodes.length + 1}`;
  attack(world, { ip, key: person.tox.dhtId });
  world.close();
});

test('a bootstrap node does not store them either', () => {
  const world = new ToxWorld();
  attack(world, crowd(world)[0]!);
  world.close();
});
