import { STATUS_CODES } from 'node:http';
import { type Reason, sentenceOf } from '../../mux/wire/reasons.js';
import {
  type Authorize,
  joined,
  NO_BYTES,
  type ProxyHandshake,
  type ProxyStep,
  targetOf,
} from './proxy_handshake.js';

// HTTP CONNECT: RFC 9110, section 9.3.6; RFC 9112, sections 2 and 3.2.3.

/** Maximum length of the request line and headers together, in bytes; the same as in Node.js's own HTTP server. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** Status codes for refusals. All other reasons are 502. */
const STATUS_OF: Partial<Readonly<Record<Reason, number>>> = {
  'not-allowed': 403,
  timeout: 504,
  'peer-silent': 504,
  limit: 503,
  busy: 503,
  'peer-shutdown': 503,
};

const CR = 0x0d;
const LF = 0x0a;

/** The proxy's side of the handshake with one HTTP client, up to the end of the headers. */
export class HttpConnectHandshake implements ProxyHandshake {
  readonly #authorize: Authorize | undefined;
  #held: Uint8Array = NO_BYTES;
  /** How many bytes were searched for the end of the headers. */
  #searched = 0;

  constructor(authorize?: Authorize) {
    this.#authorize = authorize;
  }

  take(bytes: Uint8Array): ProxyStep {
    this.#held = joined(this.#held, bytes);
    const end = this.#headerEnd();
    if (end === 'broken')
      return failed(400, 'a line does not end with CR LF, or contains a control character');
    if ((end ?? this.#held.length) > MAX_HEADER_BYTES) {
      return failed(431, `the headers are longer than ${MAX_HEADER_BYTES} bytes`);
    }
    if (end === undefined) return { kind: 'more', answer: NO_BYTES };
    const header = String.fromCharCode(...this.#held.subarray(0, end - 4));
    return this.#read(header.split('\r\n'), this.#held.subarray(end));
  }

  opened(): Uint8Array {
    return latin1('HTTP/1.1 200 Connection Established\r\n\r\n');
  }

  refused(reason: Reason, text: string): Uint8Array {
    return answer(STATUS_OF[reason] ?? 502, sentenceOf(reason, text));
  }

  /** Returns the offset after the empty line that ends the headers. */
  #headerEnd(): number | 'broken' | undefined {
    const held = this.#held;
    const last = Math.min(held.length, MAX_HEADER_BYTES + 1);
    for (; this.#searched < last; this.#searched++) {
      const at = this.#searched;
      const byte = held[at]!;
      if (held[at - 1] === CR && byte !== LF) return 'broken';
      if (byte === LF) {
        if (held[at - 1] !== CR) return 'broken';
        if (held[at - 2] === LF) return at + 1;
      } else if ((byte < 0x20 && byte !== CR && byte !== 0x09) || byte === 0x7f) {
        return 'broken';
      }
    }
    return undefined;
  }

  #read([requestLine = '', ...fields]: readonly string[], rest: Uint8Array): ProxyStep {
    const [, method, authority, version] = /^([!-~]+) ([!-~]+) HTTP\/(\d\.\d)$/.exec(requestLine) ?? [];
    if (method === undefined || authority === undefined) return failed(400, 'the request line is not HTTP');
    if (version !== '1.1' && version !== '1.0')
      return failed(505, `HTTP/${version} is not supported; use HTTP/1.1`);
    if (method !== 'CONNECT') {
      return failed(
        405,
        `${method} is not supported, only CONNECT: for http:// pages set the program to SOCKS5 at this address (curl: --socks5-hostname, or --proxytunnel)`,
        'Allow: CONNECT\r\n',
      );
    }
    const credentials = credentialsIn(fields);
    if (credentials === 'broken') return failed(400, 'a header line has no valid name');
    if (this.#authorize !== undefined) {
      const known = credentials !== undefined && this.#authorize(credentials.user, credentials.password);
      if (!known) return failed(407, 'wrong user name or password', CHALLENGE);
    }
    const [, bracketed, plain, port] = /^(?:\[([^[\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(authority) ?? [];
    const host = bracketed ?? plain;
    if (host === undefined)
      return failed(400, 'the target is not HOST:PORT, with IPv6 addresses in brackets');
    if (bracketed?.includes(':') === false) return failed(400, 'brackets are for IPv6 addresses');
    const target = targetOf(host, Number(port));
    if (typeof target === 'string') return failed(400, target);
    return { kind: 'target', answer: NO_BYTES, target, rest };
  }
}

const CHALLENGE = 'Proxy-Authenticate: Basic realm="tox-wasm-tunnel"\r\n';

interface Credentials {
  readonly user: Uint8Array;
  readonly password: Uint8Array;
}

/**
 * Reads the credentials of the Basic scheme (RFC 7617).
 *
 * @returns undefined if there are none in that scheme
 */
function credentialsIn(fields: readonly string[]): Credentials | 'broken' | undefined {
  let found: Credentials | undefined;
  for (const field of fields) {
    // RFC 9112, sections 5.1 and 5.2: no blank before the colon, and no folded lines.
    const [, name, value = ''] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/s.exec(field) ?? [];
    if (name === undefined) return 'broken';
    if (name.toLowerCase() !== 'proxy-authorization') continue;
    const [, base64] = /^\s*basic +([A-Za-z0-9+/]+=*)\s*$/i.exec(value) ?? [];
    if (base64 === undefined) continue;
    const pair = Buffer.from(base64, 'base64');
    const colon = pair.indexOf(':');
    if (colon >= 0) found = { user: pair.subarray(0, colon), password: pair.subarray(colon + 1) };
  }
  return found;
}

function failed(status: number, why: string, fields = ''): ProxyStep {
  return { kind: 'failed', answer: answer(status, why, fields), why };
}

function answer(status: number, text: string, fields = ''): Uint8Array {
  const body = Buffer.from(`${text}\n`);
  const head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields}Connection: close\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([latin1(head), body]);
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
