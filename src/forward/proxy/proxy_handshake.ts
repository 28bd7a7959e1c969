import { hostText, readHost } from '../../core/host.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { HostPort } from '../../rules/endpoint.js';

/** What a client of the proxy has got so far. `answer` goes to it, may be empty, and is never sent twice. */
export type ProxyStep =
  | { readonly kind: 'more'; readonly answer: Uint8Array }
  /** `rest`: what came after the request, for the target. The client still waits for its answer. */
  | {
      readonly kind: 'target';
      readonly answer: Uint8Array;
      readonly target: HostPort;
      readonly rest: Uint8Array;
    }
  /** After `answer` the connection ends. `why` is for the log. */
  | { readonly kind: 'failed'; readonly answer: Uint8Array; readonly why: string };

/** How a client of a proxy says what it wants, and hears what became of it. It reads no socket. */
export interface ProxyHandshake {
  /** Takes the next bytes of the client; not to be called after `target` or `failed`. */
  take(bytes: Uint8Array): ProxyStep;
  /** For the client, once the target is there. */
  opened(): Uint8Array;
  /** For the client, when the target is not to be had. */
  refused(reason: Reason, text: string): Uint8Array;
}

/** Whether a client that names these may use the proxy; undefined: nobody is asked. */
export type Authorize = (user: Uint8Array, password: Uint8Array) => boolean;

export const NO_BYTES = new Uint8Array(0);

/** The target that a client named, or in words what is wrong with it. */
export function targetOf(host: string, port: number): HostPort | string {
  const read = readHost(host);
  if (typeof read === 'string') return `the host ${read}`;
  if (!Number.isInteger(port) || port < 1 || port > 0xffff) return 'the port is not one from 1 to 65535';
  return { host: hostText(read), port };
}

export function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
