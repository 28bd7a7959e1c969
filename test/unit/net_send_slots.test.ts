import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { systemTimers } from '../../src/core/clock.js';
import { Arrivals } from '../../src/worker/net/arrivals.js';
import { FAMILY_IPV4, type MutableAddress } from '../../src/worker/net/network.js';
import { SendSlots, UdpSocket } from '../../src/worker/net/udp_socket.js';

const TO: MutableAddress = { family: FAMILY_IPV4, bytes: Uint8Array.of(127, 0, 0, 1), port: 9 };

/** A socket that keeps datagrams while `queueBytes` says that the system accepts nothing. */
function slowSocket(queueBytes: (() => number) | undefined): {
  readonly udp: UdpSocket;
  readonly sent: Uint8Array[];
} {
  const sent: Uint8Array[] = [];
  const socket = Object.assign(new EventEmitter(), {
    address: () => ({ port: 1 }),
    send: (bytes: Uint8Array) => void sent.push(bytes),
    ...(queueBytes && { getSendQueueSize: queueBytes }),
    close: () => {},
  });
  // The part of a socket that UdpSocket uses.
  const arrivals = new Arrivals(systemTimers, 1);
  return { udp: new UdpSocket(socket as unknown as Socket, FAMILY_IPV4, () => {}, arrivals), sent };
}

const datagram = (number: number): Uint8Array => new Uint8Array(1000 + (number % 7)).fill(number);

test('a copy stays unchanged until as many more are made as there are slots', () => {
  const slots = new SendSlots(4);
  const source = Uint8Array.of(1, 2, 3);
  const copy = slots.copy(source);
  source.fill(9);
  for (let more = 0; more < 3; more++) slots.copy(Uint8Array.of(7, 7, 7));
  assert.deepEqual([...copy], [1, 2, 3]);
  assert.equal(slots.copy(Uint8Array.of(5, 5, 5)).byteOffset, copy.byteOffset);
});

test('a slot holds datagrams of any length, one after the other', () => {
  const slots = new SendSlots(1);
  for (const length of [1, 1400, 0, 3, 2048, 2049, 17]) {
    const bytes = new Uint8Array(length).fill(length);
    assert.deepEqual(slots.copy(bytes), bytes);
  }
});

test('datagrams that the system has not taken are never overwritten, however many follow', () => {
  let queueBytes = 0;
  const { udp, sent } = slowSocket(() => queueBytes);
  for (let number = 0; number < 40; number++) udp.sendTo(datagram(number), TO);
  queueBytes = 5000; // from here on nothing leaves any more
  const from = sent.length - 1;
  for (let number = 40; number < 250; number++) udp.sendTo(datagram(number), TO);
  for (let at = from; at < 250; at++) assert.deepEqual(sent[at], datagram(at), `datagram ${at}`);
});

test('memory is reused once everything has left', () => {
  let queueBytes = 5000;
  const { udp, sent } = slowSocket(() => queueBytes);
  for (let number = 0; number < 10; number++) udp.sendTo(datagram(number), TO);
  assert.equal(new Set(sent.map(({ buffer }) => buffer)).size, 10);
  queueBytes = 0;
  for (let number = 10; number < 500; number++) udp.sendTo(datagram(number), TO);
  assert.equal(new Set(sent.map(({ buffer }) => buffer)).size, 11);
});

test('where the length of the queue cannot be known, as in Deno, everything is sent and nothing is overwritten', () => {
  const { udp, sent } = slowSocket(undefined);
  for (let number = 0; number < 250; number++) assert.ok(udp.sendTo(datagram(number), TO) > 0);
  for (let at = 0; at < 250; at++) assert.deepEqual(sent[at], datagram(at), `datagram ${at}`);
});
