import { Socket } from 'node:net';
import type { Limits } from '../../src/core/peer_limits.js';
import { TargetServer } from '../../src/forward/exit/target_server.js';
import { PortHolders } from '../../src/forward/reverse/port_holders.js';
import { ReverseServer } from '../../src/forward/reverse/reverse_server.js';
import type { OpenRequest } from '../../src/mux/stream/stream_api.js';
import { DATAGRAM_HEADER_BYTES, writeDatagramHeader, writeOffsetFrame } from '../../src/mux/wire/frame.js';
import { ReverseBook, type RuleBook } from '../../src/rules/rule_book.js';
import { turn } from './fake_node.js';
import { ListenerBench, uuid } from './peer_bench.js';
import { FakeOwner } from './port_owner.js';
import type { VirtualTimers } from './virtual_timers.js';

export const TYPES = {
  open: 0x01,
  opened: 0x02,
  refused: 0x03,
  data: 0x04,
  end: 0x05,
  credit: 0x06,
  reset: 0x07,
  ping: 0x10,
  bye: 0x12,
} as const;

/** Reason numbers: docs/reference/protocol.md, section 6. */
export const REASON = { notAllowed: 5, limit: 6, cancelled: 8, protocolError: 9 } as const;

/** A stream UUID that differs from others in the bytes that hash tables look at. */
export function streamId(number: number): Uint8Array {
  const id = uuid(0x11);
  new DataView(id.buffer).setUint32(0, number);
  return id;
}

export function openFrame(id: Uint8Array, host: string, port: number): Uint8Array {
  const name = new TextEncoder().encode(host);
  const frame = new Uint8Array(29 + name.length);
  frame[0] = TYPES.open;
  frame.set(id, 1);
  new DataView(frame.buffer).setBigUint64(17, 262_144n);
  frame[25] = 1;
  new DataView(frame.buffer).setUint16(26, port);
  frame[28] = name.length;
  frame.set(name, 29);
  return frame;
}

/** An OPEN for a port at this end (docs/reference/protocol.md, kind 3). */
export function listenFrame(id: Uint8Array, host: string, port: number): Uint8Array {
  const frame = openFrame(id, host, port);
  frame[25] = 3;
  return frame;
}

/** An OPEN for a datagram target (kind 5). */
export function udpFrame(id: Uint8Array, host: string, port: number): Uint8Array {
  const frame = openFrame(id, host, port);
  frame[25] = 5;
  return frame;
}

/** The first of the two parts of a datagram. */
export function datagramPart(id: Uint8Array, number: number, bytes: number): Uint8Array {
  const frame = new Uint8Array(DATAGRAM_HEADER_BYTES + bytes);
  writeDatagramHeader(frame, id, { number, part: 0, parts: 2 });
  return frame;
}

/** An OPEN for a path (kind 2). */
export function pathFrame(id: Uint8Array, path: string): Uint8Array {
  const text = new TextEncoder().encode(path);
  return Uint8Array.of(...openFrame(id, '', 0).subarray(0, 25), 2, text.length, ...text);
}

/** A DATA frame, or an END, CREDIT or OPENED frame, which carries only an offset. */
export function offsetFrame(type: number, id: Uint8Array, offset: number, bytes = 0): Uint8Array {
  const frame = new Uint8Array(25 + bytes);
  writeOffsetFrame(frame, type, id, offset);
  return frame;
}

/** A RESET, or a REFUSED without a text. */
export function reasonFrame(type: number, id: Uint8Array, reason: number): Uint8Array {
  return Uint8Array.of(type, ...id, 0, reason);
}

export interface AttackerOptions {
  readonly timers: VirtualTimers;
  readonly limits?: Partial<Limits>;
  /** The targets that the attacker may reach; without a rule book the test answers its requests. */
  readonly rules?: RuleBook;
  /** Where the attacker may have ports opened; nowhere by default. */
  readonly reverse?: ReverseBook;
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

/** A peer that has completed the handshake and sends what it likes, and the listener's side of it. */
export class Attacker {
  readonly listener: ListenerBench;
  readonly server: TargetServer | undefined;
  /** Ports opened for the attacker under its rules. */
  readonly ports: ReverseServer;
  /** Addresses dialled for the attacker. */
  readonly dialled: string[] = [];
  /** Names resolved for the attacker. */
  readonly resolved: string[] = [];

  constructor({ timers, limits = {}, rules, reverse, resolve = async () => [] }: AttackerOptions) {
    this.listener = new ListenerBench({ timers, limits });
    this.ports = new ReverseServer({
      owner: new FakeOwner('attacker'),
      holders: new PortHolders(timers),
      rules: (reverse ?? new ReverseBook()).rulesFor(
        () => undefined,
        () => false,
      ),
      maxPorts: 2,
      timers,
    });
    if (rules === undefined) return;
    this.server = new TargetServer({
      peer: 'attacker',
      rules: rules.rulesFor(() => undefined),
      // Whatever addresses the machine of the test has.
      isOwn: () => false,
      timers,
      ...(limits.maxDials === undefined ? {} : { maxDials: limits.maxDials }),
      resolve: (name) => {
        this.resolved.push(name);
        return resolve(name);
      },
      connect: (address, port) => {
        this.dialled.push(`${address.text} ${port}`);
        // Never connects, like a target that does not answer.
        return new Socket();
      },
      connectUdp: async (address, port) => {
        this.dialled.push(`${address.text} ${port} over UDP`);
        throw new Error('not available in this test');
      },
    });
  }

  async join(): Promise<void> {
    await this.listener.join();
  }

  get isOnline(): boolean {
    return this.listener.peer.isOnline;
  }

  get stats() {
    return this.listener.peer.sessionStats;
  }

  /** Frames sent to the attacker that it has not taken. */
  get frames(): Uint8Array[] {
    return this.listener.node.newest.frames;
  }

  /** Sends frames as one batch. @returns the unserved requests */
  send(...frames: Uint8Array[]): OpenRequest[] {
    this.listener.node.newest.deliver(...frames);
    const requests = this.listener.requests.splice(0);
    if (this.server === undefined) return requests;
    for (const request of requests) {
      const { target } = request;
      if (target.kind === 'listen') this.ports.handle(request, target);
      else this.server.handle(request);
    }
    return [];
  }

  /** Takes the received frames of this type and returns their reasons. */
  async take(type: number): Promise<number[]> {
    for (let turns = 0; turns < 10; turns++) await turn();
    return this.frames.splice(0).flatMap((frame) => (frame[0] === type ? [frame[18] ?? -1] : []));
  }
}
