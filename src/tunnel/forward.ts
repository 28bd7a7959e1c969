import { EventEmitter } from 'node:events';
import { type AddressInfo, isIPv6 } from 'node:net';
import { inspect } from 'node:util';
import { isolated } from '../core/errors.js';
import type { DynamicForward } from '../forward/entry/dynamic.js';
import type { LocalForward, RefusedConnection } from '../forward/entry/local.js';
import type { UdpForward } from '../forward/entry/udp_forward.js';
import { sentenceOf } from '../mux/wire/reasons.js';
import { type Endpoint, type HostPort, isPath, printEndpoint } from '../rules/endpoint.js';
import type { Refusal } from './events.js';

export type AnyForward = LocalForward | DynamicForward | UdpForward;

export interface ForwardEvents {
  /** A client has connected, or sent its first datagram. @param from its address; undefined at a path */
  connection: [from: HostPort | undefined];
  /** The far end did not open a connection. Its client has seen a reset. The tunnel emits it too. */
  refused: [refusal: Refusal];
  /** It accepts nothing more. */
  close: [];
}

/** A local port or path that is forwarded to the far end. Modelled on `net.Server`. */
export class Forward extends EventEmitter<ForwardEvents> {
  /** The actual `host:port` on which it listens, or a path. */
  readonly local: string;
  /** The `host:port` or path that the far end dials; `*` for a proxy, whose clients choose. */
  readonly target: string;
  readonly #entry: AnyForward;
  readonly #local: Endpoint;
  #isListening = true;

  constructor(
    entry: AnyForward,
    { local, target, peer }: { readonly local: Endpoint; readonly target: string; readonly peer: string },
  ) {
    super();
    this.#entry = entry;
    this.#local = local;
    this.local = printEndpoint(local);
    this.target = target;
    // The node keeps the process running, and no forward works without it.
    entry.unref();
    // The three kinds of forward have these events in common.
    const events: EventEmitter = entry;
    events.on('connection', (from?: HostPort) => isolated(() => this.emit('connection', from)));
    events.on('refused', ({ target: to, reason, text }: RefusedConnection) => {
      const target = printEndpoint(to);
      isolated(() =>
        this.emit('refused', { kind: 'connection', target, reason, text: sentenceOf(reason, text), peer }),
      );
    });
  }

  /** False once it is closed. */
  get listening(): boolean {
    return this.#isListening;
  }

  /** Where it listens, as `address()` of a `net.Server`; null once it is closed. */
  address(): AddressInfo | string | null {
    const local = this.#local;
    if (!this.#isListening) return null;
    if (isPath(local)) return local.path;
    return { address: local.host, family: isIPv6(local.host) ? 'IPv6' : 'IPv4', port: local.port };
  }

  /** Stops accepting. Open connections continue. Never rejects; safe to call twice. */
  async close(): Promise<void> {
    if (!this.#isListening) return;
    this.#isListening = false;
    this.#entry.close();
    isolated(() => this.emit('close'));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What `console.log` shows. */
  [inspect.custom](_depth: number, options: object): string {
    const { local, target, listening } = this;
    return `Forward ${inspect({ local, target, listening }, options)}`;
  }
}
