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

// SOCKS version 5, RFC 1928, with the user name and password of RFC 1929.

export const SOCKS5 = 5;
const NO_AUTH = 0;
const USER_PASSWORD = 2;
const NO_METHOD = 0xff;
/** Version of RFC 1929's own little protocol. */
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
/** What other proxies say, too, of a target that does not answer. */
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
/** What a whole message leads to; undefined: it is not there yet. */
type Turn =
  | { readonly kind: 'next'; readonly bytes: number; readonly phase: Phase; readonly answer: Uint8Array }
  | Exclude<ProxyStep, { kind: 'more' }>
  | undefined;

/** The server's side of one SOCKS5 client, up to its request. Keeps no more than one message, 513 bytes. */
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
    // A client may send all it has to say at once.
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
    if (version !== SOCKS5) return failed(NO_BYTES, `SOCKS version ${version}; only 5 is spoken`);
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
    if (version !== AUTH_VERSION) return failed(refusal, `authentication of version ${version}`);
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

/** Version, command, a reserved byte, type of the address, address, port. */
function request(held: Uint8Array): Turn {
  const [version, command, , type] = held;
  if (version === undefined) return undefined;
  if (version !== SOCKS5) return failed(reply(FAILED), `a request of version ${version}`);
  if (command === undefined) return undefined;
  if (command !== CONNECT) return failed(reply(BAD_COMMAND), `command ${command}; only CONNECT is served`);
  if (type === undefined) return undefined;
  if (type !== IPV4 && type !== NAME && type !== IPV6) {
    return failed(reply(BAD_ADDRESS_TYPE), `an address of type ${type}`);
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
  // One character a byte: what is not ASCII is refused as a host.
  return type === NAME ? String.fromCharCode(...bytes) : ipText(bytes);
}

/** Where the target is seen from is not told: it is the far end's address. */
function reply(code: number): Uint8Array {
  return Uint8Array.of(SOCKS5, code, 0, IPV4, 0, 0, 0, 0, 0, 0);
}

function failed(answer: Uint8Array, why: string): Turn {
  return { kind: 'failed', answer, why };
}
