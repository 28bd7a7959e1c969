import { EventEmitter } from 'node:events';
import { onAbort } from '../../core/aborting.js';
import type { Timers } from '../../core/clock.js';
import { isolated, TunnelError } from '../../core/errors.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import type { StreamGate, StreamWish } from '../stream_gate.js';
import { UdpClient } from '../udp_client.js';
import { DialError } from './dial_error.js';

/** The largest payload of an IPv4 packet without options. Source: RFC 768, RFC 791 section 3.1. */
const MAX_UDP_BYTES = 65_535 - 20 - 8;

export interface UdpFlowOptions {
  readonly target: HostPort;
  readonly gate: StreamGate;
  readonly timers: Timers;
  /** Idle time after which the far end is asked again, in milliseconds. */
  readonly idleMs: number;
  /** Closes the flow when aborted. */
  readonly signal?: AbortSignal | undefined;
}

export interface UdpFlowEvents {
  /** A datagram of the target. */
  message: [datagram: Buffer];
  /** The far end did not open the flow, and drops what is sent for 5 s. Later datagrams ask it again. */
  error: [error: DialError];
  close: [];
}

/**
 * A UDP flow to a target that the far end sends to, with one source port there, like a `dgram` socket after `connect`.
 * Any datagram may be lost, and none comes twice. An idle flow is forgotten at the far end; the next datagram opens
 * it again, and its source port may then differ.
 */
export class UdpFlow extends EventEmitter<UdpFlowEvents> {
  /** The target, as `host:port`. */
  readonly target: string;
  readonly #options: UdpFlowOptions;
  readonly #forgetSignal: () => void;
  #client: UdpClient | undefined;
  #isClosed = false;

  constructor(options: UdpFlowOptions) {
    super();
    this.#options = options;
    this.target = printHostPort(options.target);
    this.#forgetSignal = onAbort(options.signal, () => this.close());
  }

  /**
   * Sends a datagram. The bytes may be reused at once.
   *
   * @param datagram 1 to 65,507 bytes, or a string, which is sent as UTF-8
   * @throws {TunnelError} ERR_ARGUMENT_INVALID for a wrong type or length, ERR_CLOSED
   */
  send(datagram: Uint8Array | string): void {
    if (this.#isClosed) throw new TunnelError('ERR_CLOSED', 'this flow is closed; dial again');
    const bytes = bytesOf(datagram);
    this.#client ??= this.#open();
    this.#client.send(bytes);
  }

  /** Ends the flow. Safe to call twice. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forgetSignal();
    this.#client?.end();
    isolated(() => this.emit('close'));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): UdpClient {
    const { target, gate, timers, idleMs } = this.#options;
    const client = new UdpClient(target, {
      timers,
      idleMs,
      deliver: (datagram) => {
        const message = Buffer.from(datagram);
        isolated(() => this.emit('message', message));
      },
      onRefused: (reason, text) => {
        const error = new DialError('connect', `${target.host} port ${target.port}`, reason, text);
        isolated(() => this.emit('error', error));
      },
      onOver: () => {
        gate.forget(wish);
        if (this.#client === client) this.#client = undefined;
      },
    });
    const wish: StreamWish = {
      target: { kind: 'udp', ...target },
      handlers: client,
      onAsked: (stream) => client.attach(stream),
    };
    // Later, so that the first datagram is there.
    process.nextTick(() => {
      if (this.#client === client) gate.open(wish);
    });
    return client;
  }
}

/** A copy of the bytes. */
function bytesOf(datagram: unknown): Uint8Array {
  const bytes = typeof datagram === 'string' ? Buffer.from(datagram) : datagram;
  if (bytes instanceof Uint8Array && bytes.length > 0 && bytes.length <= MAX_UDP_BYTES)
    return Uint8Array.from(bytes);
  const wanted = `send(): datagram must be a Uint8Array or a string of 1 to ${MAX_UDP_BYTES} bytes`;
  throw new TunnelError('ERR_ARGUMENT_INVALID', wanted);
}
