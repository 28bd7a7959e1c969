import { isIPv6 } from 'node:net';
import { IPV4_BYTES, IPV6_BYTES, ipBytes } from '../../core/ip.js';
import type { ProxyAddress, ProxyCredentials } from '../../core/proxy.js';

/** Where the proxy connects to: a numeric address without brackets, or a name, which the proxy looks up. */
export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

/** What to do after receiving bytes from the proxy. */
export type GreetingStep =
  /** Send these bytes, possibly none, and wait for more. */
  | { readonly kind: 'more'; readonly say: Uint8Array }
  /** The connection now reaches the target; `rest` holds its first bytes. */
  | { readonly kind: 'done'; readonly rest: Uint8Array }
  /** Give up. The reason continues the words "the proxy". */
  | { readonly kind: 'failed'; readonly why: string };

/** Our side of the conversation with a proxy until it has connected to the target. It touches no socket. */
export interface Greeting {
  /** Returns the first bytes to send, once connected. */
  begin(): Uint8Array;
  /** Takes bytes from the proxy. Do not call it after `done` or `failed`. */
  take(bytes: Uint8Array): GreetingStep;
}

export function greetingFor(proxy: ProxyAddress, target: ProxyTarget): Greeting {
  const { credentials } = proxy;
  return proxy.protocol === 'http'
    ? new HttpGreeting(target, credentials)
    : new SocksGreeting(target, credentials);
}

const NO_BYTES = new Uint8Array(0);

const failed = (why: string): GreetingStep => ({ kind: 'failed', why });

// HTTP CONNECT: RFC 9110, section 9.3.6. Basic authentication: RFC 7617.

/** Longest response head, in bytes; Node's own client has the same limit. */
const MAX_HEADER_BYTES = 16 * 1024;
const HEADER_END = '\r\n\r\n';
/** Longest part of the proxy's own words that is reported, in characters. */
const MAX_REASON_CHARS = 60;

/** The client's side of HTTP CONNECT. */
export class HttpGreeting implements Greeting {
  readonly #target: ProxyTarget;
  readonly #credentials: ProxyCredentials | undefined;
  #held: Buffer = Buffer.alloc(0);

  constructor(target: ProxyTarget, credentials: ProxyCredentials | undefined) {
    this.#target = target;
    this.#credentials = credentials;
  }

  begin(): Uint8Array {
    const { host, port } = this.#target;
    const authority = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
    return Buffer.from(
      `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${this.#authorization()}\r\n`,
      'latin1',
    );
  }

  take(bytes: Uint8Array): GreetingStep {
    this.#held = Buffer.concat([this.#held, bytes]);
    const end = this.#held.indexOf(HEADER_END);
    if (end < 0) {
      if (this.#held.length > MAX_HEADER_BYTES) return failed('sent an endless answer');
      return { kind: 'more', say: NO_BYTES };
    }
    const [statusLine = ''] = this.#held.toString('latin1', 0, end).split('\r\n', 1);
    const [, status, reason = ''] = /^HTTP\/1\.\d (\d{3})(?: (.*))?$/.exec(statusLine) ?? [];
    if (status === undefined) return failed('does not speak HTTP');
    if (status.startsWith('2')) return { kind: 'done', rest: this.#held.subarray(end + HEADER_END.length) };
    if (status === '407') {
      const why =
        this.#credentials === undefined
          ? 'requires a user name and password'
          : 'refused the user name or password';
      return failed(why);
    }
    return failed(`answered ${status} ${reason.slice(0, MAX_REASON_CHARS)}`.trimEnd());
  }

  #authorization(): string {
    if (this.#credentials === undefined) return '';
    const { user, password } = this.#credentials;
    return `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}\r\n`;
  }
}

// SOCKS5: RFC 1928. User name and password: RFC 1929.
const VERSION = 5;
const NO_AUTHENTICATION = 0;
const USER_PASSWORD = 2;
const NONE_ACCEPTABLE = 0xff;
const USER_PASSWORD_VERSION = 1;
const CONNECT = 1;
const ADDRESS_IPV4 = 1;
const ADDRESS_NAME = 3;
const ADDRESS_IPV6 = 4;

/** Reply codes other than 0. The texts continue the words "the proxy". */
const REFUSALS: Readonly<Record<number, string>> = {
  1: 'failed',
  2: 'does not allow this connection',
  3: 'cannot reach that network',
  4: 'cannot reach that host',
  5: 'reports that the connection was refused',
  6: 'got no answer in time',
  7: 'does not support CONNECT',
  8: 'does not support that kind of address',
};

/**
 * Bytes of a reply that do not depend on its address: version, reply, 0, address type, first byte of the
 * address.
 */
const REPLY_START_BYTES = 5;
const PORT_BYTES = 2;

/** The client's side of SOCKS5. */
export class SocksGreeting implements Greeting {
  readonly #target: ProxyTarget;
  readonly #credentials: ProxyCredentials | undefined;
  #state: 'method' | 'password' | 'reply' = 'method';
  #held: Buffer = Buffer.alloc(0);

  constructor(target: ProxyTarget, credentials: ProxyCredentials | undefined) {
    this.#target = target;
    this.#credentials = credentials;
  }

  begin(): Uint8Array {
    const methods =
      this.#credentials === undefined ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, USER_PASSWORD];
    return Uint8Array.of(VERSION, methods.length, ...methods);
  }

  take(bytes: Uint8Array): GreetingStep {
    // This is bounded: the longest incomplete answer has 261 bytes.
    this.#held = Buffer.concat([this.#held, bytes]);
    const step = this.#step() ?? { kind: 'more', say: NO_BYTES };
    if (step.kind === 'more' && step.say.length > 0 && this.#held.length > 0)
      return failed('answered before it was asked');
    return step;
  }

  /** Returns undefined when bytes are missing. */
  #step(): GreetingStep | undefined {
    switch (this.#state) {
      case 'method':
        return this.#method();
      case 'password':
        return this.#password();
      case 'reply':
        return this.#reply();
    }
  }

  #method(): GreetingStep | undefined {
    const [version, method] = this.#held;
    if (version !== undefined && version !== VERSION) return failed('does not speak SOCKS5');
    if (method === undefined) return undefined;
    this.#held = this.#held.subarray(2);
    if (method === NO_AUTHENTICATION) return this.#ask();
    if (method === NONE_ACCEPTABLE || this.#credentials === undefined)
      return failed('requires a user name and password');
    if (method !== USER_PASSWORD) return failed('requires an unsupported authentication method');
    this.#state = 'password';
    const { user, password } = this.#credentials;
    const parts = [user, password].map((text) => Buffer.from(text));
    return {
      kind: 'more',
      say: Buffer.concat([
        Uint8Array.of(USER_PASSWORD_VERSION),
        ...parts.flatMap((part) => [Uint8Array.of(part.length), part]),
      ]),
    };
  }

  #password(): GreetingStep | undefined {
    const [, status] = this.#held;
    if (status === undefined) return undefined;
    this.#held = this.#held.subarray(2);
    return status === 0 ? this.#ask() : failed('refused the user name or password');
  }

  #ask(): GreetingStep {
    this.#state = 'reply';
    const { host, port } = this.#target;
    const ip = ipBytes(host);
    const address =
      ip === undefined
        ? [Uint8Array.of(ADDRESS_NAME, Buffer.byteLength(host)), Buffer.from(host)]
        : [Uint8Array.of(ip.length === IPV4_BYTES ? ADDRESS_IPV4 : ADDRESS_IPV6), ip];
    const say = Buffer.concat([
      Uint8Array.of(VERSION, CONNECT, 0),
      ...address,
      Uint8Array.of(port >> 8, port & 0xff),
    ]);
    return { kind: 'more', say };
  }

  #reply(): GreetingStep | undefined {
    const [version, reply, , kind, first] = this.#held;
    if (version !== undefined && version !== VERSION) return failed('does not speak SOCKS5');
    if (reply !== undefined && reply !== 0)
      return failed(REFUSALS[reply] ?? `refused with the unknown code ${reply}`);
    if (kind === undefined || first === undefined) return undefined;
    const addressBytes = {
      [ADDRESS_IPV4]: IPV4_BYTES,
      [ADDRESS_IPV6]: IPV6_BYTES,
      [ADDRESS_NAME]: 1 + first,
    }[kind];
    if (addressBytes === undefined) return failed('does not speak SOCKS5');
    const length = REPLY_START_BYTES - 1 + addressBytes + PORT_BYTES;
    return this.#held.length < length ? undefined : { kind: 'done', rest: this.#held.subarray(length) };
  }
}
