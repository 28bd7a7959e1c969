import { IPV4_BYTES, IPV6_BYTES, ipText } from '../../core/ip.js';
import type { Reason } from '../../mux/wire/reasons.js';
import {
  type Authorize,
  joined,
  NO_BYTES,
  type ProxyHandshake,
  type ProxyStep,
  targetOf,
} from './proxy_handshake.js';

// SOCKS version 5 (RFC 1928), with user name and password (RFC 1929).

export const SOCKS5 = 5;
export const SOCKS4 = 4;
/** "Request rejected or failed", with a port and an address that mean nothing. Source: the SOCKS 4 protocol, 1992. */
const SOCKS4_REJECTED = Uint8Array.of(0, 91, 0, 0, 0, 0, 0, 0);
const NO_AUTH = 0;
const USER_PASSWORD = 2;
const NO_METHOD = 0xff;
/** The version of the sub-negotiation in RFC 1929. */
const AUTH_VERSION = 1;
const CONNECT = 1;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;

const SUCCEEDED = 0;
const FAILED = 1;
const NOT_ALLOWED = 2;
const HOST_UNREACHABLE = 4;
const REFUSED = 5;
/** Other proxies also send this for a target that does not answer. */
const TTL_EXPIRED = 6;
const BAD_COMMAND = 7;
const BAD_ADDRESS_TYPE = 8;

const REPLIES: Partial<Readonly<Record<Reason, number>>> = {
  refused: REFUSED,
  unreachable: HOST_UNREACHABLE,
  'name-not-found': HOST_UNREACHABLE,
  timeout: TTL_EXPIRED,
  'not-allowed': NOT_ALLOWED,
};

type Phase = 'greeting' | 'password' | 'request';
/** The result of one message; undefined while it is incomplete. */
type Turn =
  | { readonly kind: 'next'; readonly bytes: number; readonly phase: Phase; readonly answer: Uint8Array }
  | Exclude<ProxyStep, { kind: 'more' }>
  | undefined;

/**
 * The proxy's side of the handshake with one SOCKS5 client. Holds at most one message, which is 513 bytes.
 */
export class SocksHandshake implements ProxyHandshake {
  readonly #authorize: Authorize | undefined;
  #phase: Phase = 'greeting';
  #held: Uint8Array = NO_BYTES;

  constructor(authorize?: Authorize) {
    this.#authorize = authorize;
  }

  take(bytes: Uint8Array): ProxyStep {
    this.#held = joined(this.#held, bytes);
    let answer: Uint8Array = NO_BYTES;
    // A client may send all of its messages at once.
    for (;;) {
      const turn = this.#turn(this.#held);
      if (turn === undefined) return { kind: 'more', answer };
      answer = joined(answer, turn.answer);
      if (turn.kind !== 'next') return { ...turn, answer };
      this.#held = this.#held.subarray(turn.bytes);
      this.#phase = turn.phase;
    }
  }

  opened(): Uint8Array {
    return reply(SUCCEEDED);
  }

  refused(reason: Reason): Uint8Array {
    return reply(REPLIES[reason] ?? FAILED);
  }

  #turn(held: Uint8Array): Turn {
    if (this.#phase === 'greeting') return this.#greeting(held);
    return this.#phase === 'password' ? this.#password(held) : request(held);
  }

  #greeting([version, methods, ...rest]: Uint8Array): Turn {
    if (version === undefined) return undefined;
    if (version === SOCKS4)
      return failed(SOCKS4_REJECTED, 'SOCKS4 is not supported; set the client to SOCKS5');
    if (version !== SOCKS5)
      return failed(NO_BYTES, `SOCKS version ${version} is not supported; use version 5`);
    if (methods === undefined || rest.length < methods) return undefined;
    const method = this.#authorize === undefined ? NO_AUTH : USER_PASSWORD;
    if (!rest.slice(0, methods).includes(method)) {
      const wanted = method === NO_AUTH ? 'no authentication' : 'user name and password';
      return failed(Uint8Array.of(SOCKS5, NO_METHOD), `the client does not offer ${wanted}`);
    }
    const phase = method === NO_AUTH ? 'request' : 'password';
    return { kind: 'next', bytes: 2 + methods, phase, answer: Uint8Array.of(SOCKS5, method) };
  }

  #password(held: Uint8Array): Turn {
    const [version, userBytes] = held;
    if (version === undefined) return undefined;
    const refusal = Uint8Array.of(AUTH_VERSION, 1);
    if (version !== AUTH_VERSION)
      return failed(refusal, `authentication version ${version} is not supported`);
    if (userBytes === undefined) return undefined;
    const passwordAt = 2 + userBytes + 1;
    const passwordBytes = held[passwordAt - 1];
    if (passwordBytes === undefined || held.length < passwordAt + passwordBytes) return undefined;
    const user = held.subarray(2, 2 + userBytes);
    const password = held.subarray(passwordAt, passwordAt + passwordBytes);
    if (this.#authorize?.(user, password) !== true) return failed(refusal, 'wrong user name or password');
    return {
      kind: 'next',
      bytes: passwordAt + passwordBytes,
      phase: 'request',
      answer: Uint8Array.of(AUTH_VERSION, 0),
    };
  }
}

/** Reads a request: version, command, reserved byte, address type, address, port. */
function request(held: Uint8Array): Turn {
  const [version, command, , type] = held;
  if (version === undefined) return undefined;
  if (version !== SOCKS5) return failed(reply(FAILED), `a request of SOCKS version ${version}`);
  if (command === undefined) return undefined;
  if (command !== CONNECT)
    return failed(reply(BAD_COMMAND), `command ${command} is not supported; use CONNECT`);
  if (type === undefined) return undefined;
  if (type !== IPV4 && type !== NAME && type !== IPV6) {
    return failed(reply(BAD_ADDRESS_TYPE), `address type ${type} is not supported`);
  }
  const from = type === NAME ? 5 : 4;
  const addressBytes = type === IPV4 ? IPV4_BYTES : type === IPV6 ? IPV6_BYTES : held[4];
  if (addressBytes === undefined) return undefined;
  const end = from + addressBytes + 2;
  if (held.length < end) return undefined;
  const port = (held[end - 2]! << 8) | held[end - 1]!;
  const target = targetOf(hostIn(type, held.subarray(from, from + addressBytes)), port);
  if (typeof target === 'string') return failed(reply(FAILED), target);
  return { kind: 'target', answer: NO_BYTES, target, rest: held.subarray(end) };
}

function hostIn(type: number, bytes: Uint8Array): string {
  // One character for each byte. Hosts that are not ASCII are rejected later.
  return type === NAME ? String.fromCharCode(...bytes) : ipText(bytes);
}

/** The bound address in the reply is always zero: the real one is an address of the far end. */
function reply(code: number): Uint8Array {
  return Uint8Array.of(SOCKS5, code, 0, IPV4, 0, 0, 0, 0, 0, 0);
}

function failed(answer: Uint8Array, why: string): Turn {
  return { kind: 'failed', answer, why };
}
