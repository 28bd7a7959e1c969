import { LOSSY_PACKET_ID, MAX_PACKET_BYTES } from '../../src/core/packets.js';
import {
  FLAG_ACK,
  FLAG_ACK_NOW,
  FLAG_BUNDLE,
  FLAG_MANY,
  FLAG_NUMBERED,
  PREFIX_BYTES,
  readU32,
  writePrefix,
  writeU32,
} from '../../src/worker/channel/packet.js';
import { SentPackets } from '../../src/worker/channel/recovery/sent_packets.js';
import { TAG } from './channel_pair.js';

/** A range of packet numbers, both inclusive. */
export type Range = readonly [first: number, last: number];

/** A packet that holds only an acknowledgement of these ranges, newest first; nothing is checked. */
export function ackPacket(ranges: readonly Range[], delayUnits = 0): Uint8Array {
  const out = new Uint8Array(MAX_PACKET_BYTES);
  writePrefix(out, 0, FLAG_ACK, TAG);
  const [newest = [0, 0]] = ranges;
  writeU32(out, PREFIX_BYTES, newest[1]);
  out[PREFIX_BYTES + 4] = delayUnits >>> 8;
  out[PREFIX_BYTES + 5] = delayUnits;
  out[PREFIX_BYTES + 6] = ranges.length - 1;
  let at = PREFIX_BYTES + 7;
  const small = (value: number): void => {
    out[at++] = 0x80 | (value >>> 8);
    out[at++] = value;
  };
  let below = newest[1] + 1;
  for (const [index, [first, last]] of ranges.entries()) {
    if (index > 0) small(below - last - 2);
    small(last - first);
    below = first;
  }
  return out.subarray(0, at);
}

/** A packet with frames in it; with several frames, each has its length. */
export function bundlePacket(
  number: number,
  bundle: number,
  frames: readonly Uint8Array[],
  flags = 0,
): Uint8Array {
  const many = frames.length > 1;
  const head = new Uint8Array(PREFIX_BYTES + 8);
  writePrefix(head, 0, FLAG_NUMBERED | FLAG_BUNDLE | (many ? FLAG_MANY : 0) | flags, TAG);
  writeU32(head, PREFIX_BYTES, number);
  writeU32(head, PREFIX_BYTES + 4, bundle);
  const parts = frames.flatMap((frame) =>
    many ? [Uint8Array.of(frame.length >>> 8, frame.length), frame] : [frame],
  );
  return Uint8Array.from(Buffer.concat([head, ...parts]));
}

export function pingPacket(number: number): Uint8Array {
  const out = new Uint8Array(PREFIX_BYTES + 4);
  writePrefix(out, 0, FLAG_NUMBERED | FLAG_ACK_NOW, TAG);
  writeU32(out, PREFIX_BYTES, number);
  return out;
}

/** The number of a packet, if it has one. */
export function numberOf(packet: Uint8Array): number | undefined {
  const numbered = ((packet[1] ?? 0) & FLAG_NUMBERED) !== 0;
  return numbered ? readU32(packet, PREFIX_BYTES) : undefined;
}

/**
 * Counts how often `run` looks up the state of a sent packet: the cost of acknowledgements, measured without
 * a clock.
 */
export function countLooks(run: () => void): number {
  const { state } = SentPackets.prototype;
  let looks = 0;
  SentPackets.prototype.state = function (number) {
    looks++;
    return state.call(this, number);
  };
  try {
    run();
  } finally {
    SentPackets.prototype.state = state;
  }
  return looks;
}

/** Makes packets that no honest peer would send, based on the packets of its victim. */
export class HostilePeer {
  readonly #random: () => number;
  readonly #seen: number[] = [];
  readonly #kept: Uint8Array[] = [];
  #next = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Records a packet of the victim. */
  see(packet: Uint8Array): void {
    const number = numberOf(packet);
    if (number !== undefined) this.#seen.push(number);
    if (this.#kept.length < 8) this.#kept.push(packet);
  }

  /** @param malice 0 to 1: the share of packets that are clearly forbidden */
  packet(malice: number): Uint8Array {
    return this.#random() < malice ? this.#forbidden() : this.#doubtful();
  }

  /** Packets that the protocol allows, but that would hurt a careless victim. */
  #doubtful(): Uint8Array {
    const newest = this.#seen.at(-1) ?? 0;
    switch (this.#whole(7)) {
      case 0: // acknowledge everything seen again, with a false delay
        return this.#ackOfSeen(newest, this.#whole(0xffff));
      case 1: // acknowledge only the newest
        return this.#seen.length === 0 ? pingPacket(this.#next++) : ackPacket([[newest, newest]]);
      case 2: // a flood of packets that demand an acknowledgement
        return pingPacket(this.#next++);
      case 3: // packet numbers that jump
        this.#next += this.#whole(100_000);
        return pingPacket(this.#next);
      case 4: // a bundle far ahead, so that the window of bundles is full of holes
        return bundlePacket(this.#next++, this.#whole(65_535), [this.#bytes(20)]);
      case 5: // an old bundle again
        return bundlePacket(this.#whole(this.#next), 0, [this.#bytes(5)], FLAG_ACK_NOW);
      case 6: // many small frames
        return bundlePacket(
          this.#next++,
          this.#whole(2_000),
          Array.from({ length: 2 + this.#whole(400) }, () => this.#bytes(1)),
        );
      default: {
        // for another channel
        const packet = pingPacket(0);
        writeU32(packet, 2, TAG ^ 1);
        return packet;
      }
    }
  }

  #forbidden(): Uint8Array {
    const newest = this.#seen.at(-1) ?? 0;
    switch (this.#whole(6)) {
      case 0: // acknowledge packets that were never sent
        return ackPacket([[newest + 1, newest + 1 + this.#whole(2 ** 31)]]);
      case 1: // acknowledge everything, seen or not
        return ackPacket([[Math.max(0, newest - this.#whole(8_191)), newest]]);
      case 2: // numbers below zero
        return ackPacket([[-1 - this.#whole(1_000), newest % 8_000]]);
      case 3: // bundles outside the window
        return bundlePacket(this.#next++, 65_536 + this.#whole(2 ** 30), [this.#bytes(9)]);
      case 4: {
        // random bytes
        const packet = this.#bytes(this.#whole(MAX_PACKET_BYTES));
        if (this.#random() < 0.9) {
          const head = new Uint8Array(PREFIX_BYTES);
          writePrefix(head, 0, this.#whole(255), TAG);
          packet.set(head.subarray(0, packet.length));
        }
        return packet;
      }
      default: {
        // a packet of the victim or of an honest peer, with a flipped bit or truncated
        const kept = this.#kept[this.#whole(this.#kept.length - 1)] ?? pingPacket(0);
        const packet = kept.slice(0, this.#random() < 0.5 ? kept.length : this.#whole(kept.length));
        const at = this.#whole(packet.length - 1);
        if (packet.length > 0) packet[at] = (packet[at] ?? 0) ^ (1 << this.#whole(7));
        if (packet.length > 0) packet[0] = LOSSY_PACKET_ID;
        return packet;
      }
    }
  }

  /** Acknowledges recently seen packets honestly, with as many ranges as fit. */
  #ackOfSeen(newest: number, delayUnits: number): Uint8Array {
    const ranges: [number, number][] = [];
    for (let index = this.#seen.length - 1; index >= 0 && ranges.length <= 63; index--) {
      const number = this.#seen[index] ?? 0;
      if (newest - number > 8_000) break;
      const last = ranges.at(-1);
      if (last !== undefined && last[0] === number + 1) last[0] = number;
      else ranges.push([number, number]);
    }
    return ranges.length === 0 ? pingPacket(this.#next++) : ackPacket(ranges.slice(0, 64), delayUnits);
  }

  /** From 0 to `most`. */
  #whole(most: number): number {
    return Math.floor(this.#random() * (Math.max(most, 0) + 1));
  }

  #bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#whole(255));
  }
}
