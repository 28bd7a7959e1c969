import { TunnelError } from '../../core/errors.js';
import {
  KIND_CHALLENGE,
  KIND_HELLO,
  KIND_REFUSE,
  KIND_WELCOME,
  LOSSLESS_PACKET_ID,
  MAX_PACKET_BYTES,
} from '../../core/packets.js';
import {
  decodeText,
  encodeText,
  MAX_TEXT_BYTES,
  printable,
  readU16,
  readU32,
  writeU16,
  writeU32,
} from './codec.js';
import { type Reason, reasonNumber, reasonOf } from './reasons.js';
import { ID_BYTES, isNilAt } from './stream_id.js';

// docs/reference/protocol.md, sections 1 and 2. Handshakes are rare, so plain objects represent them.

/** Type of the extension field that proves knowledge of the ticket's secret (section 2.1). */
export const FIELD_PROOF = 1;

/** Extension fields by type (0 to 255), in packet order. */
export type Fields = ReadonlyMap<number, Uint8Array>;

export interface Versions {
  readonly lowest: number;
  readonly highest: number;
}

export interface Hello {
  readonly versions: Versions;
  /** The UUID of the connector's session, 16 bytes. */
  readonly session: Uint8Array;
  /** Maximum length of a frame that the sender takes, in bytes. */
  readonly frameBytes: number;
  /** One bit for each optional feature. */
  readonly features: number;
  readonly fields: Fields;
}

export interface Welcome {
  readonly version: number;
  /** The UUID of the connector's session, repeated from hello. */
  readonly connectorSession: Uint8Array;
  /** The UUID of the listener's session. */
  readonly session: Uint8Array;
  readonly frameBytes: number;
  readonly features: number;
  readonly fields: Fields;
}

export interface Challenge {
  /** The UUID of the connector's session, repeated from hello. */
  readonly connectorSession: Uint8Array;
  /** The UUID of the session that the listener would start. */
  readonly session: Uint8Array;
  readonly fields: Fields;
}

export interface Refuse {
  readonly versions: Versions;
  readonly reason: Reason;
  /** At most 255 bytes of UTF-8. Writers cut longer texts; readers make the text printable. */
  readonly text: string;
}

const HELLO_BYTES = 28;
const WELCOME_BYTES = 42;
const CHALLENGE_BYTES = 34;
const REFUSE_BYTES = 8;
const FIELD_HEADER_BYTES = 3;

/** Returns the kind of one of our lossless packets; undefined for any other packet. */
export function packetKind(packet: Uint8Array): number | undefined {
  return packet[0] === LOSSLESS_PACKET_ID ? packet[1] : undefined;
}

/** @throws {RangeError} when the fields do not fit a packet */
export function encodeHello(hello: Hello): Uint8Array {
  const out = start(KIND_HELLO, HELLO_BYTES, hello.fields);
  writeVersions(out, hello.versions);
  out.set(hello.session, 6);
  writeU16(out, 22, hello.frameBytes);
  writeU32(out, 24, hello.features);
  return out;
}

/** @throws {RangeError} when the fields do not fit a packet */
export function encodeWelcome(welcome: Welcome): Uint8Array {
  const out = start(KIND_WELCOME, WELCOME_BYTES, welcome.fields);
  writeU16(out, 2, welcome.version);
  out.set(welcome.connectorSession, 4);
  out.set(welcome.session, 20);
  writeU16(out, 36, welcome.frameBytes);
  writeU32(out, 38, welcome.features);
  return out;
}

/** @throws {RangeError} when the fields do not fit a packet */
export function encodeChallenge({ connectorSession, session, fields }: Challenge): Uint8Array {
  const out = start(KIND_CHALLENGE, CHALLENGE_BYTES, fields);
  out.set(connectorSession, 2);
  out.set(session, 18);
  return out;
}

export function encodeRefuse(refuse: Refuse): Uint8Array {
  const text = encodeText(refuse.text);
  const out = new Uint8Array(REFUSE_BYTES + text.length);
  out[0] = LOSSLESS_PACKET_ID;
  out[1] = KIND_REFUSE;
  writeVersions(out, refuse.versions);
  writeU16(out, 6, reasonNumber(refuse.reason));
  out.set(text, REFUSE_BYTES);
  return out;
}

/**
 * Reads the versions that a hello offers. Every version of the protocol can read them.
 *
 * @throws {TunnelError} ERR_HANDSHAKE_INVALID (remote), like all decoders in this file
 */
export function decodeHelloVersions(packet: Uint8Array): Versions {
  expect(packet, KIND_HELLO, 6);
  return readVersions(packet);
}

export function decodeHello(packet: Uint8Array): Hello {
  expect(packet, KIND_HELLO, HELLO_BYTES);
  return {
    versions: readVersions(packet),
    session: readSession(packet, 6),
    frameBytes: readU16(packet, 22),
    features: readU32(packet, 24),
    fields: readFields(packet, HELLO_BYTES),
  };
}

export function decodeWelcome(packet: Uint8Array): Welcome {
  expect(packet, KIND_WELCOME, WELCOME_BYTES);
  return {
    version: readU16(packet, 2),
    connectorSession: readSession(packet, 4),
    session: readSession(packet, 20),
    frameBytes: readU16(packet, 36),
    features: readU32(packet, 38),
    fields: readFields(packet, WELCOME_BYTES),
  };
}

export function decodeChallenge(packet: Uint8Array): Challenge {
  expect(packet, KIND_CHALLENGE, CHALLENGE_BYTES);
  return {
    connectorSession: readSession(packet, 2),
    session: readSession(packet, 18),
    fields: readFields(packet, CHALLENGE_BYTES),
  };
}

export function decodeRefuse(packet: Uint8Array): Refuse {
  expect(packet, KIND_REFUSE, REFUSE_BYTES);
  if (packet.length > REFUSE_BYTES + MAX_TEXT_BYTES) throw invalid('a refuse whose text is too long');
  const text = decodeText(packet, REFUSE_BYTES, packet.length);
  if (text === undefined) throw invalid('a refuse whose text is not UTF-8');
  return { versions: readVersions(packet), reason: reasonOf(readU16(packet, 6)), text: printable(text) };
}

export function invalid(detail: string): TunnelError {
  const advice = 'check that both ends run tox-wasm-tunnel, and update the older one';
  return new TunnelError('ERR_HANDSHAKE_INVALID', `${detail}; ${advice}`, { remote: true });
}

function start(kind: number, headBytes: number, fields: Fields): Uint8Array {
  let bytes = headBytes;
  for (const value of fields.values()) bytes += FIELD_HEADER_BYTES + value.length;
  if (bytes > MAX_PACKET_BYTES)
    throw new RangeError(`a handshake of ${bytes} bytes; a packet holds ${MAX_PACKET_BYTES} bytes`);
  const out = new Uint8Array(bytes);
  out[0] = LOSSLESS_PACKET_ID;
  out[1] = kind;
  let at = headBytes;
  for (const [type, value] of fields) {
    out[at] = type;
    writeU16(out, at + 1, value.length);
    out.set(value, at + FIELD_HEADER_BYTES);
    at += FIELD_HEADER_BYTES + value.length;
  }
  return out;
}

function writeVersions(out: Uint8Array, versions: Versions): void {
  writeU16(out, 2, versions.lowest);
  writeU16(out, 4, versions.highest);
}

function expect(packet: Uint8Array, kind: number, leastBytes: number): void {
  if (packetKind(packet) !== kind) throw invalid('a packet of another kind than expected');
  if (packet.length < leastBytes) throw invalid('a truncated handshake packet');
  if (packet.length > MAX_PACKET_BYTES) throw invalid('a handshake packet that is too long');
}

function readVersions(packet: Uint8Array): Versions {
  const versions = { lowest: readU16(packet, 2), highest: readU16(packet, 4) };
  if (versions.lowest === 0 || versions.lowest > versions.highest) {
    throw invalid(`the version range ${versions.lowest} to ${versions.highest}`);
  }
  return versions;
}

function readSession(packet: Uint8Array, at: number): Uint8Array {
  if (isNilAt(packet, at)) throw invalid('a session without a UUID');
  return packet.slice(at, at + ID_BYTES);
}

function readFields(packet: Uint8Array, from: number): Fields {
  const fields = new Map<number, Uint8Array>();
  let at = from;
  while (at < packet.length) {
    if (packet.length - at < FIELD_HEADER_BYTES) throw invalid('a truncated extension field');
    const type = packet[at]!;
    const end = at + FIELD_HEADER_BYTES + readU16(packet, at + 1);
    if (end > packet.length) throw invalid('a truncated extension field');
    if (fields.has(type)) throw invalid(`two extension fields of type ${type}`);
    fields.set(type, packet.slice(at + FIELD_HEADER_BYTES, end));
    at = end;
  }
  return fields;
}
