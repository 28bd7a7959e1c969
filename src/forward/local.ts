import { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { TunnelError } from '../core/errors.js';
import { type Logger, silentLogger } from '../core/logger.js';
import type { Reason } from '../mux/reasons.js';
import { listenError } from './listen_error.js';
import { Pipe } from './pipe.js';
import { warnWhenPublic } from './public_bind.js';
import { type HostPort, type LocalSpec, printHostPort } from './spec.js';
import type { StreamOpener } from './stream.js';
import { StreamGate, type StreamGateOptions, type StreamWish } from './stream_gate.js';

export interface LocalForwardOptions extends StreamGateOptions {
  readonly spec: LocalSpec;
  /** Default: silent. */
  readonly logger?: Logger;
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
  readonly #logger: Logger;
  readonly #gate: StreamGate;
  readonly #server: Server;
  #state: 'new' | 'listening' | 'closed' = 'new';

  constructor(options: LocalForwardOptions) {
    super();
    this.#spec = options.spec;
    this.#logger = options.logger ?? silentLogger;
    this.#gate = new StreamGate(options);
    this.#server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
  }

  /** Connections that wait for a session. */
  get waiting(): number {
    return this.#gate.waiting;
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
        warnWhenPublic(local, this.#logger);
        this.emit('listening', local);
        resolve(local);
      });
    });
  }

  /** The session to open streams in from now on; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    this.#gate.setSession(session);
  }

  /** Accepts no more, and resets what waits for a session. Open connections go on. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#server.close();
    this.#gate.close();
    this.emit('closed');
  }

  readonly #onConnection = (socket: Socket): void => {
    const pipe: Pipe = new Pipe(socket, () => this.#gate.forget(wish));
    const wish: StreamWish = {
      target: { kind: 'tcp', ...this.#spec.target },
      handlers: {
        onOpened: () => pipe.flow(),
        onRefused: (reason, text) => this.#refuse(pipe, reason, text),
        onData: (chunk) => pipe.onData(chunk),
        onEnd: () => pipe.onEnd(),
        onReset: () => pipe.onReset(),
        onDrain: () => pipe.onDrain(),
      },
      onAsked: (stream) => pipe.attach(stream),
    };
    const { remoteAddress: host, remotePort: port } = socket;
    this.emit('connection', host === undefined || port === undefined ? undefined : { host, port });
    if (!pipe.isOver) this.#gate.open(wish);
  };

  readonly #onAcceptError = (error: Error): void => {
    this.#logger.log('warn', `${printHostPort(this.#spec.bind)}: a connection could not be accepted`, {
      error,
    });
  };

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
}
