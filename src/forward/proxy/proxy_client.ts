import type { Socket } from 'node:net';
import { Timer, type Timers } from '../../core/clock.js';
import type { MuxStream, StreamHandlers } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { HostPort } from '../../rules/endpoint.js';
import { Pipe } from '../pipe.js';
import type { StreamGate, StreamWish } from '../stream_gate.js';
import { resetSocket } from '../tcp_socket.js';
import { HttpConnectHandshake } from './http_connect.js';
import type { Authorize, ProxyHandshake, ProxyStep } from './proxy_handshake.js';
import { SOCKS4, SOCKS5, SocksHandshake } from './socks.js';

/** How long a client's handshake may take, in milliseconds. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long a refused client may keep its connection open, in milliseconds. */
const LINGER_MS = 2_000;

export interface ProxyClientOptions {
  readonly socket: Socket;
  readonly gate: StreamGate;
  readonly timers: Timers;
  readonly authorize: Authorize | undefined;
  /** Called once, when the client has a stream or waits for one, or when it was refused or has gone. */
  readonly onHandshakeOver: () => void;
  readonly onRefused: (target: HostPort, reason: Reason, text: string) => void;
  /** Called when the handshake fails or takes too long. */
  readonly onFailed: (why: string) => void;
}

/** One client of the proxy: reads its request, opens the stream, and answers in the client's own protocol. */
export class ProxyClient {
  readonly #options: ProxyClientOptions;
  readonly #socket: Socket;
  #handshake: ProxyHandshake | undefined;
  readonly #timer: Timer;
  #handshakeOver = false;
  #heardMs: number;
  #wish: StreamWish | undefined;
  #stream: MuxStream | undefined;

  constructor(options: ProxyClientOptions) {
    this.#options = options;
    this.#socket = options.socket;
    this.#heardMs = options.timers.nowMs();
    this.#timer = new Timer(options.timers);
    this.#timer.set(HANDSHAKE_TIMEOUT_MS, () =>
      this.#fail(`sent no complete request within ${HANDSHAKE_TIMEOUT_MS / 1000} s`),
    );
    this.#socket
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('close', this.#onClose)
      .on('error', this.#onError);
  }

  /** When the client last sent something, or was accepted, on the clock of the timers. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** Resets the connection. For a client that has no stream yet. */
  abort(): void {
    resetSocket(this.#socket);
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#heardMs = this.#options.timers.nowMs();
    this.#handshake ??= this.#handshakeFor(bytes[0]);
    if (this.#handshake === undefined) this.#fail('speaks neither SOCKS5 nor HTTP');
    else this.#act(this.#handshake, this.#handshake.take(bytes));
  };

  #handshakeFor(first: number | undefined): ProxyHandshake | undefined {
    const { authorize } = this.#options;
    if (first === SOCKS5 || first === SOCKS4) return new SocksHandshake(authorize);
    const isLetter = first !== undefined && first >= 0x41 && first <= 0x5a;
    return isLetter ? new HttpConnectHandshake(authorize) : undefined;
  }

  #act(handshake: ProxyHandshake, step: ProxyStep): void {
    if (step.kind === 'failed') {
      this.#options.onFailed(step.why);
      this.#finish(step.answer);
      return;
    }
    if (step.answer.length > 0) this.#socket.write(step.answer);
    if (step.kind === 'more') return;
    this.#stopReading();
    this.#socket.pause();
    if (step.rest.length > 0) this.#socket.unshift(step.rest);
    this.#endHandshake();
    this.#open(handshake, step.target);
  }

  #open(handshake: ProxyHandshake, target: HostPort): void {
    let pipe: Pipe | undefined;
    const handlers: StreamHandlers = {
      onOpened: () => {
        const stream = this.#stream;
        if (stream === undefined) return;
        this.#socket.write(handshake.opened());
        this.#letGo();
        pipe = new Pipe(this.#socket);
        pipe.attach(stream);
        pipe.flow();
      },
      onRefused: (reason, text) => {
        this.#wish = undefined;
        this.#stream = undefined;
        this.#options.onRefused(target, reason, text);
        this.#finish(handshake.refused(reason, text));
      },
      onData: (chunk) => pipe?.onData(chunk),
      onEnd: () => pipe?.onEnd(),
      onReset: (reason, remote) => {
        this.#stream = undefined;
        if (pipe === undefined) resetSocket(this.#socket);
        else pipe.onReset(reason, remote);
      },
      onDrain: () => pipe?.onDrain(),
    };
    this.#wish = {
      target: { kind: 'tcp', ...target },
      handlers,
      onAsked: (stream) => {
        this.#stream = stream;
      },
    };
    this.#options.gate.open(this.#wish);
  }

  /**
   * Sends the last answer, and keeps reading so that the client gets it: closing with bytes unread would be a
   * reset.
   */
  #finish(answer: Uint8Array): void {
    this.#stopReading();
    this.#endHandshake();
    if (this.#socket.destroyed) return;
    this.#timer.set(LINGER_MS, () => this.#socket.destroy());
    this.#socket.end(answer);
    this.#socket.resume();
  }

  #fail(why: string): void {
    this.#options.onFailed(why);
    resetSocket(this.#socket);
  }

  #stopReading(): void {
    this.#timer.clear();
    this.#socket.off('data', this.#onData).off('end', this.#onEnd);
  }

  #endHandshake(): void {
    if (this.#handshakeOver) return;
    this.#handshakeOver = true;
    this.#options.onHandshakeOver();
  }

  /** Detaches from the socket, which the pipe may own now. */
  #letGo(): void {
    this.#wish = undefined;
    this.#stream = undefined;
    this.#socket.off('close', this.#onClose).off('error', this.#onError);
  }

  /** The client ended before its request was complete. */
  readonly #onEnd = (): void => {
    this.#socket.destroy();
  };

  readonly #onError = (): void => {
    // `close` follows.
  };

  readonly #onClose = (): void => {
    this.#stopReading();
    this.#endHandshake();
    if (this.#wish !== undefined) this.#options.gate.forget(this.#wish);
    this.#stream?.reset('cancelled');
    this.#letGo();
  };
}
