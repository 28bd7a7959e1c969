import { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { systemTimers, type TimerHandle, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { MAX_WAITING_CONNECTIONS, SESSION_WAIT_MS } from '../core/limits.js';
import { type Logger, silentLogger } from '../core/logger.js';
import type { Reason } from '../mux/reasons.js';
import type { StreamHandlers } from '../mux/stream_api.js';
import { isLoopback, parseAddress } from './address.js';
import { LOCALHOST } from './host.js';
import { listenError } from './listen_error.js';
import { Pipe } from './pipe.js';
import { type HostPort, type LocalSpec, printHostPort } from './spec.js';
import type { StreamOpener } from './stream.js';

export interface LocalForwardOptions {
  readonly spec: LocalSpec;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
  /** Default: silent. */
  readonly logger?: Logger;
  /**
   * Milliseconds that a connection waits while there is no session, then it is reset; 0 to
   * reset it at once. Default: {@link SESSION_WAIT_MS}.
   */
  readonly sessionWaitMs?: number;
  /** Connections that wait so at once; further ones are reset. Default: {@link MAX_WAITING_CONNECTIONS}. */
  readonly maxWaiting?: number;
}

/** A connection that came to nothing: its client has seen a reset. */
export interface Refusal {
  readonly target: HostPort;
  readonly reason: Reason;
  /** For people; may be empty. */
  readonly text: string;
}

export interface LocalForwardEvents {
  /** @param local where it listens, with the port that was picked for port 0 */
  listening: [local: HostPort];
  /** @param from the client's address; undefined when it was gone already */
  connection: [from: HostPort | undefined];
  refused: [refusal: Refusal];
  /** No further connection is accepted. No event of listening follows. */
  closed: [];
}

/** Time without a byte after which the kernel asks whether the client still lives. */
const KEEP_ALIVE_MS = 60_000;

/**
 * A local forward: accepts TCP connections and opens a stream to the target for each. It keeps no
 * list of open connections: those belong to their session, and end with it. Only what waits for
 * a session is its own.
 */
export class LocalForward extends EventEmitter<LocalForwardEvents> {
  readonly #spec: LocalSpec;
  readonly #timers: Timers;
  readonly #logger: Logger;
  readonly #sessionWaitMs: number;
  readonly #maxWaiting: number;
  readonly #server: Server;
  readonly #waiting = new Map<Pipe, TimerHandle>();
  #session: StreamOpener | undefined;
  #state: 'new' | 'listening' | 'closed' = 'new';

  constructor(options: LocalForwardOptions) {
    super();
    this.#spec = options.spec;
    this.#timers = options.timers ?? systemTimers;
    this.#logger = options.logger ?? silentLogger;
    this.#sessionWaitMs = options.sessionWaitMs ?? SESSION_WAIT_MS;
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING_CONNECTIONS;
    this.#server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
  }

  /** Connections that wait for a session. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Starts to listen; to be called once.
   *
   * @returns where it listens, with the port that was picked for port 0
   * @throws {TunnelError} ERR_LISTEN, with the address and what to do; ERR_CLOSED when closed meanwhile
   */
  listen(): Promise<HostPort> {
    return new Promise((resolve, reject) => {
      const server = this.#server;
      const onError = (error: Error): void => {
        this.#state = 'closed';
        reject(listenError(this.#spec, error));
      };
      const onClose = (): void =>
        reject(new TunnelError('ERR_CLOSED', 'the forward was closed before it listened'));
      if (this.#state !== 'new') {
        onClose();
        return;
      }
      server.once('error', onError);
      server.once('close', onClose);
      server.listen({ host: this.#spec.bind.host, port: this.#spec.bind.port }, () => {
        if (this.#state === 'closed') {
          // Closed while the name of the bind address was looked up: Node listens all the same.
          server.close();
          return;
        }
        server.off('error', onError);
        server.off('close', onClose);
        this.#state = 'listening';
        server.on('error', this.#onAcceptError);
        server.on('connection', this.#onConnection);
        const local = this.#localAddress();
        this.#warnWhenPublic(local);
        this.emit('listening', local);
        resolve(local);
      });
    });
  }

  /** The session to open streams in from now on; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    this.#session = session;
    if (session === undefined) return;
    for (const pipe of [...this.#waiting.keys()]) {
      this.#stopWaiting(pipe);
      this.#open(pipe);
    }
  }

  /** Accepts no more, and resets what waits for a session. Open connections go on. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#session = undefined;
    this.#server.close();
    for (const pipe of [...this.#waiting.keys()]) {
      this.#stopWaiting(pipe);
      pipe.abort();
    }
    this.emit('closed');
  }

  readonly #onConnection = (socket: Socket): void => {
    const pipe: Pipe = new Pipe(socket, () => this.#stopWaiting(pipe));
    const { remoteAddress: host, remotePort: port } = socket;
    this.emit('connection', host === undefined || port === undefined ? undefined : { host, port });
    this.#open(pipe);
  };

  readonly #onAcceptError = (error: Error): void => {
    this.#logger.log('warn', `${printHostPort(this.#spec.bind)}: a connection could not be accepted`, {
      error,
    });
  };

  #open(pipe: Pipe): void {
    if (pipe.isOver) return;
    if (this.#session === undefined) {
      this.#wait(pipe);
      return;
    }
    const handlers: StreamHandlers = {
      onOpened: () => pipe.flow(),
      onRefused: (reason, text) => this.#refuse(pipe, reason, text),
      onData: (chunk) => pipe.onData(chunk),
      onEnd: () => pipe.onEnd(),
      onReset: () => pipe.onReset(),
      onDrain: () => pipe.onDrain(),
    };
    try {
      pipe.attach(this.#session.open({ kind: 'tcp', ...this.#spec.target }, handlers));
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      // A session that is over is no session: its successor may be on the way.
      if (error.code === 'ERR_PEER_GONE') this.#wait(pipe);
      else this.#refuse(pipe, error.code === 'ERR_LIMIT' ? 'limit' : 'internal', error.message);
    }
  }

  #wait(pipe: Pipe): void {
    if (this.#state === 'closed') {
      pipe.abort();
    } else if (this.#sessionWaitMs === 0) {
      this.#refuse(pipe, 'unreachable', 'there is no session with the peer');
    } else if (this.#waiting.size >= this.#maxWaiting) {
      this.#refuse(pipe, 'limit', `${this.#maxWaiting} connections wait for a session with the peer already`);
    } else {
      const giveUp = (): void => {
        this.#stopWaiting(pipe);
        const seconds = this.#sessionWaitMs / 1000;
        this.#refuse(pipe, 'unreachable', `there was no session with the peer for ${seconds} s`);
      };
      this.#waiting.set(pipe, this.#timers.set(giveUp, this.#sessionWaitMs));
    }
  }

  #stopWaiting(pipe: Pipe): void {
    const timer = this.#waiting.get(pipe);
    if (!this.#waiting.delete(pipe)) return;
    this.#timers.clear(timer);
  }

  #refuse(pipe: Pipe, reason: Reason, text: string): void {
    pipe.abort();
    const { target } = this.#spec;
    const detail = text === '' ? '' : ` (${text})`;
    this.#logger.log('warn', `no connection to ${printHostPort(target)}: ${reason}${detail}`);
    this.emit('refused', { target, reason, text });
  }

  #localAddress(): HostPort {
    const address = this.#server.address();
    // A server that listens on a port has an address of this kind.
    if (address === null || typeof address === 'string') return this.#spec.bind;
    return { host: address.address, port: address.port };
  }

  #warnWhenPublic(local: HostPort): void {
    const address = parseAddress(local.host);
    if (local.host === LOCALHOST || (address !== undefined && isLoopback(address))) return;
    const message = `${printHostPort(local)} can be reached from other machines: they can use the tunnel too`;
    this.#logger.log('warn', message);
  }
}
