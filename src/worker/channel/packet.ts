import { TunnelError } from '../../core/errors.js';
import { LOSSY_PACKET_ID, MAX_PACKET_BYTES } from '../../core/packets.js';

//  0      1       2        6          10         14
//  +------+-------+--------+----------+----------+-- - - --+-- - - --+
//  |  id  | flags |  tag   |  number  |  bundle  |   ack   | frames  |
//  +------+-------+--------+----------+----------+-- - - --+-- - - --+
//     u8     u8      u32       u32        u32      by flags   the rest
//                           NUMBERED    BUNDLE      ACK       BUNDLE, LOSSY
//
// Big endian. A field is absent unless the flag below it is set. See docs/channel.md.

/** The packet contains an acknowledgement. */
export const FLAG_ACK = 0x01;
/** The packet has a number and must be acknowledged. With no other flag it is a ping. */
export const FLAG_NUMBERED = 0x02;
/** The packet carries a bundle of frames. Only with {@link FLAG_NUMBERED}. */
export const FLAG_BUNDLE = 0x04;
/**
 * The packet carries frames that are sent only once, and so have no bundle number. Only with
 * {@link FLAG_NUMBERED}.
 */
export const FLAG_LOSSY = 0x20;
/** Each frame follows its length (u16). Without this flag a single frame fills the rest of the packet. */
export const FLAG_MANY = 0x08;
/** Asks for an immediate acknowledgement. */
export const FLAG_ACK_NOW = 0x10;
const KNOWN_FLAGS = FLAG_ACK | FLAG_NUMBERED | FLAG_BUNDLE | FLAG_MANY | FLAG_ACK_NOW | FLAG_LOSSY;

/** Length of the fields that every packet has. */
export const PREFIX_BYTES = 6;
/** Length of the fields before the acknowledgement in a packet with a bundle. */
export const BUNDLE_HEADER_BYTES = 14;
/** Length of the fields before the acknowledgement in a packet with lossy frames. */
export const LOSSY_HEADER_BYTES = 10;
/** Maximum bytes of frames in a packet, including their lengths. A frame of the maximum size fits alone. */
export const BUNDLE_BYTES = 1344;
/** Room for an acknowledgement next to the largest bundle. */
export const PIGGYBACK_ACK_BYTES = MAX_PACKET_BYTES - BUNDLE_HEADER_BYTES - BUNDLE_BYTES;
/** Bytes of the length before a frame, where several frames share a packet. */
export const LENGTH_BYTES = 2;

/**
 * How many consecutive bundle numbers may be in use, from the oldest unacknowledged bundle on. Both ends keep
 * one bit for each.
 */
export const BUNDLE_SPAN = 65_536;

const NUMBER_SPACE = 2 ** 32;

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
 * Returns the number nearest to `expected` whose low 32 bits are `low`. Numbers continue past 2^32, but only
 * 32 bits are sent (the idea of RFC 9000, appendix A.3). The result is negative when no such number was ever
 * assigned.
 */
export function widen(low: number, expected: number): number {
  const number = expected - (expected >>> 0) + low;
  if (number - expected > NUMBER_SPACE / 2) return number - NUMBER_SPACE;
  if (expected - number > NUMBER_SPACE / 2) return number + NUMBER_SPACE;
  return number;
}

/** Writes the fields that every packet starts with. */
export function writePrefix(out: Uint8Array, at: number, flags: number, tag: number): void {
  out[at] = LOSSY_PACKET_ID;
  out[at + 1] = flags;
  writeU32(out, at + 2, tag);
}

/**
 * Returns the tag of a channel packet, or undefined for packets that are too short or belong to no channel.
 */
export function tagOf(packet: Uint8Array): number | undefined {
  if (packet.length < PREFIX_BYTES || packet[0] !== LOSSY_PACKET_ID) return undefined;
  return readU32(packet, 2);
}

/**
 * Returns the flags of a packet that has a tag.
 *
 * @throws {TunnelError} ERR_PACKET_INVALID, `remote` set, when they contradict each other
 */
export function flagsOf(packet: Uint8Array): number {
  const flags = packet[1]!;
  if ((flags & ~KNOWN_FLAGS) !== 0)
    throw invalid(`flags 0x${flags.toString(16)} are unknown to this version`);
  if ((flags & (FLAG_ACK | FLAG_NUMBERED)) === 0)
    throw invalid('it has neither a number nor an acknowledgement');
  const carries = flags & (FLAG_BUNDLE | FLAG_LOSSY);
  if (carries !== 0 && (flags & FLAG_NUMBERED) === 0) throw invalid('it carries frames but no number');
  if (carries === (FLAG_BUNDLE | FLAG_LOSSY)) throw invalid('its frames are both bundled and lossy');
  if ((flags & FLAG_MANY) !== 0 && carries === 0) throw invalid('its lengths belong to no frames');
  return flags;
}

/** Whether the rest of `bytes`, from `at` on, is one or more frames with a length before each. */
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

/** The error for a packet that can only be the peer's fault. */
export function invalid(detail: string): TunnelError {
  return new TunnelError('ERR_PACKET_INVALID', `${detail}; both ends must run compatible versions`, {
    remote: true,
  });
}
