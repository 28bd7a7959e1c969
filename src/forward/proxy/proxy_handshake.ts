import { createHash, timingSafeEqual } from 'node:crypto';
import { hostText, readHost } from '../../core/host.js';
import type { ProxyCredentials } from '../../core/proxy.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { HostPort } from '../../rules/endpoint.js';

/**
 * The result of a client's bytes so far. `answer` is for the client; it may be empty, and is given only once.
 */
export type ProxyStep =
  | { readonly kind: 'more'; readonly answer: Uint8Array }
  /**
   * The request is complete. `rest` is what followed it, for the target. The client still waits for its
   * answer.
   */
  | {
      readonly kind: 'target';
      readonly answer: Uint8Array;
      readonly target: HostPort;
      readonly rest: Uint8Array;
    }
  /** Send `answer`, then end the connection. `why` is for the log. */
  | { readonly kind: 'failed'; readonly answer: Uint8Array; readonly why: string };

/** One client's proxy protocol, without any I/O: reads the request, and builds the answers. */
export interface ProxyHandshake {
  /** Takes the client's next bytes. Do not call it after `target` or `failed`. */
  take(bytes: Uint8Array): ProxyStep;
  /** Returns what to tell the client when the target is connected. */
  opened(): Uint8Array;
  /** Returns what to tell the client when the target cannot be reached. */
  refused(reason: Reason, text: string): Uint8Array;
}

/** Tells whether a client with this user name and password may use the proxy. */
export type Authorize = (user: Uint8Array, password: Uint8Array) => boolean;

/** Compares credentials in constant time, so that the time does not reveal what was wrong. */
export function authorizer({ user, password }: ProxyCredentials): Authorize {
  const wantedUser = digest(Buffer.from(user));
  const wantedPassword = digest(Buffer.from(password));
  return (givenUser, givenPassword) => {
    const isUser = timingSafeEqual(digest(givenUser), wantedUser);
    const isPassword = timingSafeEqual(digest(givenPassword), wantedPassword);
    return isUser && isPassword;
  };
}

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

export const NO_BYTES = new Uint8Array(0);

/** Checks the target that a client has named. @returns the target, or what is wrong with it */
export function targetOf(host: string, port: number): HostPort | string {
  const read = readHost(host);
  if (typeof read === 'string') return `the host ${read}`;
  if (!Number.isInteger(port) || port < 1 || port > 0xffff) return 'the port is not a number from 1 to 65535';
  return { host: hostText(read), port };
}

export function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
