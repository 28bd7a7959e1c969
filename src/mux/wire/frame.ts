import { MAX_DATAGRAM_BYTES } from '../../core/limits.js';
import {
  decodeText,
  MAX_TEXT_BYTES,
  printable,
  readU16,
  readU32,
  readU64,
  violation,
  writeU16,
  writeU32,
  writeU64,
} from './codec.js';
import { type Reason, reasonNumber, reasonOf } from './reasons.js';
import { decodeTarget, type Target } from './target.js';

// docs/reference/protocol.md, section 3. Frames are written straight into a slot of exactly the right length and read
// in place. No object represents a frame.
//
//  0      1                 17
//  +------+------------------+------------ - -
//  | type | stream uuid      | body
//  +------+------------------+------------ - -

export const OPEN = 0x01;
export const OPENED = 0x02;
export const REFUSED = 0x03;
export const DATA = 0x04;
export const END = 0x05;
export const CREDIT = 0x06;
export const RESET = 0x07;
/** One datagram, or a part of one. The only frame that may be lost. */
export const DATAGRAM = 0x08;
export const GIVE_BACK = 0x09;
/** Frames of this type and above belong to the session and carry the nil UUID. */
export const FIRST_SESSION_TYPE = 0x10;
export const PING = 0x10;
export const PONG = 0x11;
export const BYE = 0x12;

/** Type and UUID. */
export const HEADER_BYTES = 17;
/** Length of what precedes the bytes of DATA. */
export const DATA_HEADER_BYTES = HEADER_BYTES + 8;
/** Length of what precedes the bytes of DATAGRAM. */
export const DATAGRAM_HEADER_BYTES = HEADER_BYTES + 6;
/** Maximum number of parts: the longest datagram in frames of the smallest length that ends agree on. */
export const MAX_DATAGRAM_PARTS = 66;
/** Length of OPENED, END, CREDIT and GIVE_BACK: a header and one number. */
export const OFFSET_FRAME_BYTES = HEADER_BYTES + 8;
export const RESET_BYTES = HEADER_BYTES + 2;
export const TOKEN_BYTES = 8;
export const TOKEN_FRAME_BYTES = HEADER_BYTES + TOKEN_BYTES;

const OPEN_HEADER_BYTES = HEADER_BYTES + 8;
const REFUSED_HEADER_BYTES = HEADER_BYTES + 2;
const BYE_HEADER_BYTES = HEADER_BYTES + 2 + 8;

/** Returns the length of OPEN. @param target from `encodeTarget` */
export function openBytes(target: Uint8Array): number {
  return OPEN_HEADER_BYTES + target.length;
}

export function writeOpen(out: Uint8Array, id: Uint8Array, creditOffset: number, target: Uint8Array): void {
  writeOffsetFrame(out, OPEN, id, creditOffset);
  out.set(target, OPEN_HEADER_BYTES);
}

/** Writes OPENED, END, CREDIT, GIVE_BACK or the header of DATA. */
export function writeOffsetFrame(out: Uint8Array, type: number, id: Uint8Array, offset: number): void {
  out[0] = type;
  out.set(id, 1);
  writeU64(out, HEADER_BYTES, offset);
}

/** Says which part of which datagram a DATAGRAM carries. */
export interface DatagramPart {
  /** The datagram's number in its direction of the stream, mod 2^32. */
  readonly number: number;
  /** Counted from 0. */
  readonly part: number;
  /** 1 to {@link MAX_DATAGRAM_PARTS}. */
  readonly parts: number;
}

/** Writes what precedes the bytes of DATAGRAM. */
export function writeDatagramHeader(
  out: Uint8Array,
  id: Uint8Array,
  { number, part, parts }: DatagramPart,
): void {
  out[0] = DATAGRAM;
  out.set(id, 1);
  writeU32(out, HEADER_BYTES, number);
  out[HEADER_BYTES + 4] = part;
  out[HEADER_BYTES + 5] = parts;
}

export function refusedBytes(text: Uint8Array): number {
  return REFUSED_HEADER_BYTES + text.length;
}

export function writeRefused(out: Uint8Array, id: Uint8Array, reason: Reason, text: Uint8Array): void {
  out[0] = REFUSED;
  out.set(id, 1);
  writeU16(out, HEADER_BYTES, reasonNumber(reason));
  out.set(text, REFUSED_HEADER_BYTES);
}

export function writeReset(out: Uint8Array, id: Uint8Array, reason: Reason): void {
  out[0] = RESET;
  out.set(id, 1);
  writeU16(out, HEADER_BYTES, reasonNumber(reason));
}

/** Writes PING or PONG. */
export function writeTokenFrame(out: Uint8Array, type: number, token: Uint8Array): void {
  out[0] = type;
  out.fill(0, 1, HEADER_BYTES);
  out.set(token, HEADER_BYTES);
}

export function byeBytes(text: Uint8Array): number {
  return BYE_HEADER_BYTES + text.length;
}

export function writeBye(out: Uint8Array, reason: Reason, framesBefore: number, text: Uint8Array): void {
  out[0] = BYE;
  out.fill(0, 1, HEADER_BYTES);
  writeU16(out, HEADER_BYTES, reasonNumber(reason));
  writeU64(out, HEADER_BYTES + 2, framesBefore);
  out.set(text, BYE_HEADER_BYTES);
}

/** The content of OPEN. `target` is undefined for a kind of target that this version does not know. */
export interface OpenBody {
  readonly creditOffset: number;
  readonly target: Target | undefined;
}

/** @throws {TunnelError} ERR_FRAME_INVALID (remote), like all readers in this file */
export function readOpen(frame: Uint8Array): OpenBody {
  if (frame.length <= OPEN_HEADER_BYTES) throw violation('a truncated OPEN');
  return { creditOffset: readU64(frame, HEADER_BYTES), target: decodeTarget(frame, OPEN_HEADER_BYTES) };
}

/** Reads the number of OPENED, END, CREDIT or GIVE_BACK. */
export function readOffset(frame: Uint8Array): number {
  if (frame.length !== OFFSET_FRAME_BYTES) throw violation('a frame of the wrong length for its type');
  return readU64(frame, HEADER_BYTES);
}

/** Reads the offset of DATA. At least one byte follows {@link DATA_HEADER_BYTES}. */
export function readDataOffset(frame: Uint8Array): number {
  if (frame.length <= DATA_HEADER_BYTES) throw violation('DATA without bytes');
  return readU64(frame, HEADER_BYTES);
}

/** Reads the header of DATAGRAM. Any number of bytes follow {@link DATAGRAM_HEADER_BYTES}, even none. */
export function readDatagramPart(frame: Uint8Array): DatagramPart {
  if (frame.length < DATAGRAM_HEADER_BYTES) throw violation('a truncated DATAGRAM');
  const part = frame[HEADER_BYTES + 4]!;
  const parts = frame[HEADER_BYTES + 5]!;
  if (parts < 1 || parts > MAX_DATAGRAM_PARTS || part >= parts) {
    throw violation(`part ${part} of ${parts} of a datagram`);
  }
  if (parts > 1 && frame.length === DATAGRAM_HEADER_BYTES)
    throw violation('a part of a datagram without bytes');
  return { number: readU32(frame, HEADER_BYTES), part, parts };
}

/**
 * Checks the length of a whole datagram.
 *
 * @throws {TunnelError} ERR_FRAME_INVALID (remote) if it is too long
 */
export function checkDatagramBytes(bytes: number): void {
  if (bytes > MAX_DATAGRAM_BYTES) throw violation(`a datagram of ${bytes} bytes`);
}

export interface ReasonAndText {
  readonly reason: Reason;
  /** The peer's text, after {@link printable}. */
  readonly text: string;
}

export function readRefused(frame: Uint8Array): ReasonAndText {
  if (frame.length < REFUSED_HEADER_BYTES) throw violation('a truncated REFUSED');
  return { reason: reasonOf(readU16(frame, HEADER_BYTES)), text: readText(frame, REFUSED_HEADER_BYTES) };
}

export function readReset(frame: Uint8Array): Reason {
  if (frame.length !== RESET_BYTES) throw violation('RESET of the wrong length');
  return reasonOf(readU16(frame, HEADER_BYTES));
}

/** Checks PING or PONG. The token follows {@link HEADER_BYTES}. */
export function checkTokenFrame(frame: Uint8Array): void {
  if (frame.length !== TOKEN_FRAME_BYTES) throw violation('PING or PONG of the wrong length');
}

export interface ByeBody extends ReasonAndText {
  /** Frames that the peer sent in this session before BYE. */
  readonly framesBefore: number;
}

export function readBye(frame: Uint8Array): ByeBody {
  if (frame.length < BYE_HEADER_BYTES) throw violation('a truncated BYE');
  return {
    reason: reasonOf(readU16(frame, HEADER_BYTES)),
    framesBefore: readU64(frame, HEADER_BYTES + 2),
    text: readText(frame, BYE_HEADER_BYTES),
  };
}

function readText(frame: Uint8Array, from: number): string {
  if (frame.length - from > MAX_TEXT_BYTES) throw violation(`a text of more than ${MAX_TEXT_BYTES} bytes`);
  const text = decodeText(frame, from, frame.length);
  if (text === undefined) throw violation('a text that is not UTF-8');
  return printable(text);
}
