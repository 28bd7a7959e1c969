import { TunnelError } from '../../core/errors.js';
import { LOSSY_PACKET_ID, MAX_PACKET_BYTES } from '../../core/limits.js';

//  0      1       2        6          10         14
//  +------+-------+--------+----------+----------+-- - - --+-- - - --+
//  |  id  | flags |  tag   |  number  |  bundle  |   ack   | frames  |
//  +------+-------+--------+----------+----------+-- - - --+-- - - --+
//     u8     u8      u32       u32        u32      by flags   the rest
//                           NUMBERED    BUNDLE      ACK       BUNDLE, LOSSY
//
// Big endian. What a flag names is absent without it. docs/channel.md tells the rest.

/** An acknowledgement stands in the packet. */
export const FLAG_ACK = 0x01;
/** The packet has a number and wants to be acknowledged. Alone it is a ping. */
export const FLAG_NUMBERED = 0x02;
/** The packet carries frames; only with {@link FLAG_NUMBERED}. */
export const FLAG_BUNDLE = 0x04;
/** The packet carries frames that are sent once: they have no bundle number. Only with {@link FLAG_NUMBERED}. */
export const FLAG_LOSSY = 0x20;
/** Every frame has its length (u16) before it; without it one frame fills the rest. */
export const FLAG_MANY = 0x08;
/** The sender waits for the acknowledgement: send it at once. */
export const FLAG_ACK_NOW = 0x10;
const KNOWN_FLAGS = FLAG_ACK | FLAG_NUMBERED | FLAG_BUNDLE | FLAG_MANY | FLAG_ACK_NOW | FLAG_LOSSY;

/** Bytes of a packet before everything that flags name. */
export const PREFIX_BYTES = 6;
/** Bytes before the acknowledgement in a packet with a bundle. */
export const BUNDLE_HEADER_BYTES = 14;
/** Bytes before the acknowledgement in a packet with frames that are sent once. */
export const LOSSY_HEADER_BYTES = 10;
/** Bytes of frames, with their lengths, in a packet at most: the largest frame fits alone. */
export const BUNDLE_BYTES = 1344;
/** What the largest bundle leaves for an acknowledgement beside it. */
export const PIGGYBACK_ACK_BYTES = MAX_PACKET_BYTES - BUNDLE_HEADER_BYTES - BUNDLE_BYTES;
/** Bytes of a frame's length before it, when several share a packet. */
export const LENGTH_BYTES = 2;

/** Bundle numbers in use at most, counted from the oldest bundle not acknowledged; both ends keep one bit for each. */
export const BUNDLE_SPAN = 65_536;

const NUMBER_SPACE = 2 ** 32;

/** Reads a big-endian u32. */
export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Writes the low 32 bits of `value`, an integer below 2^53, big endian. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  const low = value >>> 0;
  bytes[at] = low >>> 24;
  bytes[at + 1] = low >>> 16;
  bytes[at + 2] = low >>> 8;
  bytes[at + 3] = low;
}

/**
 * The number nearest to `expected` whose low 32 bits are `low`: numbers count on past 2^32
 * though only 32 bits travel. The idea of RFC 9000, appendix A.3; the result may be negative
 * when no such number was ever given out.
 */
export function widen(low: number, expected: number): number {
  const number = expected - (expected >>> 0) + low;
  if (number - expected > NUMBER_SPACE / 2) return number - NUMBER_SPACE;
  if (expected - number > NUMBER_SPACE / 2) return number + NUMBER_SPACE;
  return number;
}

/** Writes what every packet begins with. */
export function writePrefix(out: Uint8Array, at: number, flags: number, tag: number): void {
  out[at] = LOSSY_PACKET_ID;
  out[at + 1] = flags;
  writeU32(out, at + 2, tag);
}

/** The tag of a channel packet; undefined when the packet is too short to have one, or not of a channel. */
export function tagOf(packet: Uint8Array): number | undefined {
  if (packet.length < PREFIX_BYTES || packet[0] !== LOSSY_PACKET_ID) return undefined;
  return readU32(packet, 2);
}

/**
 * The flags of a packet that has a tag.
 * @throws {TunnelError} ERR_PACKET_INVALID, `remote` set, when they make no sense together
 */
export function flagsOf(packet: Uint8Array): number {
  const flags = packet[1]!;
  if ((flags & ~KNOWN_FLAGS) !== 0) throw invalid(`flags 0x${flags.toString(16)} are not of this version`);
  if ((flags & (FLAG_ACK | FLAG_NUMBERED)) === 0) throw invalid('it has neither number nor acknowledgement');
  const carries = flags & (FLAG_BUNDLE | FLAG_LOSSY);
  if (carries !== 0 && (flags & FLAG_NUMBERED) === 0) throw invalid('frames without a number');
  if (carries === (FLAG_BUNDLE | FLAG_LOSSY)) throw invalid('frames that are to come again and are not');
  if ((flags & FLAG_MANY) !== 0 && carries === 0) throw invalid('lengths without frames');
  return flags;
}

/** Says whether `bytes` from `at` on are frames, each with its length before it, at least one. */
export function areFrames(bytes: Uint8Array, at: number): boolean {
  let next = at;
  while (next < bytes.length) {
    if (bytes.length - next < LENGTH_BYTES) return false;
    const frameBytes = (bytes[next]! << 8) | bytes[next + 1]!;
    if (frameBytes === 0) return false;
    next += LENGTH_BYTES + frameBytes;
  }
  return next === bytes.length && next > at;
}

/** A packet that only the peer's fault can explain. */
export function invalid(detail: string): TunnelError {
  return new TunnelError('ERR_PACKET_INVALID', `${detail}; both ends must run compatible versions`, {
    remote: true,
  });
}
