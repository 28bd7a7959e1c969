// A record of the rings: one header word, then a frame.
//
//  0       3       4
//  +-------+-------+--------- - -
//  |channel| flags | frame
//  +-------+-------+--------- - -
//  u24 little end  u8

/** Bytes before the frame in every record. */
export const RECORD_HEADER_BYTES = 4;

/** Largest channel id: 24 bits. */
export const MAX_CHANNEL_ID = 0xff_ffff;

/** Marks a frame that must not wait behind bulk data. */
export const FLAG_URGENT = 0x01;

/** Marks a frame that is sent at most once, and may be dropped on its way. */
export const FLAG_LOSSY = 0x02;

/**
 * The header word of a record.
 *
 * @param channelId 0 to {@link MAX_CHANNEL_ID}
 * @param flags 0 to 255
 * @returns an unsigned 32-bit number
 * @throws {RangeError} when either is out of range, because it would change the other
 */
export function packHeader(channelId: number, flags: number): number {
  if (channelId >>> 24 !== 0 || flags >>> 8 !== 0) {
    throw new RangeError(`channel id ${channelId} needs 24 bits, flags ${flags} 8 bits`);
  }
  return ((flags << 24) | channelId) >>> 0;
}

export function channelIdOf(header: number): number {
  return header & MAX_CHANNEL_ID;
}

export function flagsOf(header: number): number {
  return header >>> 24;
}

/** Writes a header word at `offset`, little-endian. */
export function writeHeader(bytes: Uint8Array, offset: number, header: number): void {
  bytes[offset] = header;
  bytes[offset + 1] = header >>> 8;
  bytes[offset + 2] = header >>> 16;
  bytes[offset + 3] = header >>> 24;
}

/** Reads the header word at `offset`, an unsigned 32-bit number. */
export function readHeader(bytes: Uint8Array, offset: number): number {
  const low = bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16);
  return (low | (bytes[offset + 3]! << 24)) >>> 0;
}

/** The peer slot of a channel: its row in a backlog table of `slots` rows. No two open channels share a slot. */
export function slotOf(channelId: number, slots: number): number {
  return channelId % slots;
}

/** How many ids a slot has before the first one is reused: the rest of the 24 bits. */
export function generationsOf(slots: number): number {
  return Math.floor((MAX_CHANNEL_ID + 1) / slots);
}
