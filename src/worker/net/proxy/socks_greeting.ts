import { IPV4_BYTES, IPV6_BYTES, ipBytes } from '../../../core/ip.js';
import type { ProxyCredentials } from '../../../core/proxy.js';
import type { Greeting, GreetingStep, ProxyTarget } from './proxy_greeting.js';

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

/** Replies other than 0, in words that follow "the proxy". */
const REFUSALS: Readonly<Record<number, string>> = {
  1: 'failed',
  2: 'does not allow it',
  3: 'cannot reach that network',
  4: 'cannot reach that host',
  5: 'found the connection refused',
  6: 'got no answer in time',
  7: 'knows no CONNECT',
  8: 'does not know that kind of address',
};

const NO_BYTES = new Uint8Array(0);

/** Bytes of a reply that are there whatever its address is: version, reply, 0, kind and the first of the address. */
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
    // Bounded: the longest answer that is not whole yet has 261 bytes.
    this.#held = Buffer.concat([this.#held, bytes]);
    const step = this.#step() ?? { kind: 'more', say: NO_BYTES };
    if (step.kind === 'more' && step.say.length > 0 && this.#held.length > 0)
      return failed('answers before it is asked');
    return step;
  }

  /** Undefined when bytes are missing. */
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
    if (version !== undefined && version !== VERSION) return failed('speaks no SOCKS5');
    if (method === undefined) return undefined;
    this.#held = this.#held.subarray(2);
    if (method === NO_AUTHENTICATION) return this.#ask();
    if (method === NONE_ACCEPTABLE || this.#credentials === undefined)
      return failed('wants a user name and password');
    if (method !== USER_PASSWORD) return failed('wants a way to log in that is not known here');
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
    if (version !== undefined && version !== VERSION) return failed('speaks no SOCKS5');
    if (reply !== undefined && reply !== 0)
      return failed(REFUSALS[reply] ?? `refused with the unknown code ${reply}`);
    if (kind === undefined || first === undefined) return undefined;
    const addressBytes = {
      [ADDRESS_IPV4]: IPV4_BYTES,
      [ADDRESS_IPV6]: IPV6_BYTES,
      [ADDRESS_NAME]: 1 + first,
    }[kind];
    if (addressBytes === undefined) return failed('speaks no SOCKS5');
    const length = REPLY_START_BYTES - 1 + addressBytes + PORT_BYTES;
    return this.#held.length < length ? undefined : { kind: 'done', rest: this.#held.subarray(length) };
  }
}

const failed = (why: string): GreetingStep => ({ kind: 'failed', why });
