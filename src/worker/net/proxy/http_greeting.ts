import { isIPv6 } from 'node:net';
import type { ProxyCredentials } from '../../../core/proxy.js';
import type { Greeting, GreetingStep, ProxyTarget } from './proxy_greeting.js';

// HTTP CONNECT: RFC 9110, section 9.3.6. Basic: RFC 7617.

/** Longest status line and headers together, in bytes; Node's own client takes as much. */
const MAX_HEADER_BYTES = 16 * 1024;
const HEADER_END = '\r\n\r\n';
/** Of a proxy's own words, so many characters are told. */
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
      if (this.#held.length > MAX_HEADER_BYTES) return { kind: 'failed', why: 'answers without an end' };
      return { kind: 'more', say: Buffer.alloc(0) };
    }
    const [statusLine = ''] = this.#held.toString('latin1', 0, end).split('\r\n', 1);
    const [, status, reason = ''] = /^HTTP\/1\.\d (\d{3})(?: (.*))?$/.exec(statusLine) ?? [];
    if (status === undefined) return { kind: 'failed', why: 'speaks no HTTP' };
    if (status.startsWith('2')) return { kind: 'done', rest: this.#held.subarray(end + HEADER_END.length) };
    if (status === '407') {
      const why =
        this.#credentials === undefined
          ? 'wants a user name and password'
          : 'refused the user name or password';
      return { kind: 'failed', why };
    }
    return { kind: 'failed', why: `answered ${status} ${reason.slice(0, MAX_REASON_CHARS)}`.trimEnd() };
  }

  #authorization(): string {
    if (this.#credentials === undefined) return '';
    const { user, password } = this.#credentials;
    return `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}\r\n`;
  }
}
