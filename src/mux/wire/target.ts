import { TunnelError } from '../../core/errors.js';
import { decodeText, MAX_TEXT_BYTES, readU16, violation, writeU16 } from './codec.js';
import { ID_BYTES } from './stream_id.js';

export interface TargetAddress {
  /** A name, or a numeric address without brackets: 1 to 255 bytes of UTF-8, without blanks. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** The far end dials it over TCP. */
export interface TcpTarget extends TargetAddress {
  readonly kind: 'tcp';
}

/** The far end sends datagrams to it. */
export interface UdpTarget extends TargetAddress {
  readonly kind: 'udp';
}

/** The far end dials a UNIX socket or a Windows named pipe. */
export interface PathTarget {
  readonly kind: 'path';
  /** 1 to 255 bytes of UTF-8, without control characters. */
  readonly path: string;
}

/** The far end listens on a port for as long as the stream lasts. */
export interface ListenTarget {
  readonly kind: 'listen';
  /** The address to bind. */
  readonly host: string;
  /** 0 for any free port. The far end sends the chosen port as the first bytes of the stream. */
  readonly port: number;
}

/** The far end has accepted a connection on a port that a {@link ListenTarget} opened. */
export interface AcceptedTarget {
  readonly kind: 'accepted';
  /** The UUID of the stream that opened the port: 16 bytes. */
  readonly listener: Uint8Array;
  /** The address of the client that connected. */
  readonly host: string;
  readonly port: number;
}

/** The target that OPEN requests. */
export type Target = TcpTarget | UdpTarget | PathTarget | ListenTarget | AcceptedTarget;

/** Kinds of targets. Source: docs/reference/protocol.md, section 3. */
const TCP = 1;
const PATH = 2;
const LISTEN = 3;
const ACCEPTED = 4;
const UDP = 5;

const encoder = new TextEncoder();

/** Tells whether a string can be the host in OPEN. It need not exist; the end that dials it finds out. */
export function isHost(host: string): boolean {
  // No name has blanks or control characters, and they would end up in logs. The type is checked too, because
  // JavaScript programs may pass anything, and RegExp would read undefined as a word.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for control characters
  return typeof host === 'string' && host !== '' && !/[\u0000-\u0020\u007f]/u.test(host);
}

function isPath(path: string): boolean {
  return typeof path === 'string' && path !== '' && !/\p{Cc}/u.test(path);
}

/**
 * Encodes a target for OPEN: its kind, then the fields of that kind.
 *
 * @throws {TunnelError} ERR_ADDRESS_INVALID if the protocol cannot express it
 */
export function encodeTarget(target: Target): Uint8Array {
  switch (target.kind) {
    case 'tcp':
      return encodeAddress([TCP], target, 1);
    case 'udp':
      return encodeAddress([UDP], target, 1);
    case 'listen':
      return encodeAddress([LISTEN], target, 0);
    case 'accepted':
      return encodeAddress([ACCEPTED, ...target.listener], target, 0);
    case 'path':
      if (!isPath(target.path)) {
        throw invalid(
          `the path ${JSON.stringify(target.path)} is empty or has control characters`,
          'another path',
        );
      }
      return withText([PATH], 'path', target.path);
  }
}

function encodeAddress(before: readonly number[], { host, port }: TargetAddress, least: number): Uint8Array {
  if (!isHost(host)) {
    const fault = 'is empty or has blanks or control characters';
    throw invalid(`the host ${JSON.stringify(host)} ${fault}`, 'a name or an IP address');
  }
  if (!Number.isInteger(port) || port < least || port > 65_535) {
    throw invalid(`port ${port} is out of range`, `a number from ${least} to 65535`);
  }
  const head = new Uint8Array(before.length + 2);
  head.set(before);
  writeU16(head, before.length, port);
  return withText(head, 'host', host);
}

function invalid(fault: string, wanted: string): TunnelError {
  return new TunnelError('ERR_ADDRESS_INVALID', `${fault}; give ${wanted}`);
}

/** @param what the name of the text in the error message */
function withText(before: ArrayLike<number>, what: string, text: string): Uint8Array {
  const bytes = encoder.encode(text);
  if (bytes.length > MAX_TEXT_BYTES) {
    const message = `the ${what} has ${bytes.length} bytes; at most ${MAX_TEXT_BYTES} are allowed`;
    throw new TunnelError('ERR_ADDRESS_INVALID', message);
  }
  const out = new Uint8Array(before.length + 1 + bytes.length);
  out.set(before);
  out[before.length] = bytes.length;
  out.set(bytes, before.length + 1);
  return out;
}

/**
 * Decodes what {@link encodeTarget} wrote, from `at` to the end of an OPEN.
 *
 * @returns undefined for a kind that this version does not know
 * @throws {TunnelError} ERR_FRAME_INVALID (remote)
 */
export function decodeTarget(frame: Uint8Array, at: number): Target | undefined {
  if (frame.length <= at) throw violation('a truncated OPEN');
  switch (frame[at] ?? 0) {
    case TCP:
      return { kind: 'tcp', ...readAddress(frame, at + 1, 1) };
    case UDP:
      return { kind: 'udp', ...readAddress(frame, at + 1, 1) };
    case LISTEN:
      return { kind: 'listen', ...readAddress(frame, at + 1, 0) };
    case ACCEPTED: {
      const listener = frame.slice(at + 1, at + 1 + ID_BYTES);
      return { kind: 'accepted', listener, ...readAddress(frame, at + 1 + ID_BYTES, 0) };
    }
    case PATH: {
      const path = readText(frame, at + 1);
      if (path === undefined || !isPath(path)) throw violation('OPEN with an invalid path');
      return { kind: 'path', path };
    }
    default:
      return undefined;
  }
}

function readAddress(frame: Uint8Array, at: number, leastPort: number): TargetAddress {
  if (frame.length < at + 3) throw violation('a truncated OPEN');
  const port = readU16(frame, at);
  if (port < leastPort) throw violation('OPEN with port 0');
  const host = readText(frame, at + 2);
  if (host === undefined || !isHost(host)) throw violation('OPEN with an invalid host');
  return { host, port };
}

/** Reads a length and that many bytes of text, which must fill the rest of the frame. */
function readText(frame: Uint8Array, at: number): string | undefined {
  if (frame.length !== at + 1 + (frame[at] ?? Number.NaN))
    throw violation('OPEN with a text of the wrong length');
  return decodeText(frame, at + 1, frame.length);
}
