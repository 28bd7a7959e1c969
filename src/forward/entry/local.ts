import { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { StreamOpener } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import {
  type Endpoint,
  type HostPort,
  isPath,
  printEndpoint,
  type SocketPath,
  targetOf,
} from '../../rules/endpoint.js';
import type { Bind, LocalSpec } from '../../rules/forward_spec.js';
import { closedEarly, listenBeside, listenOn, warnWhenPublic } from '../listen.js';
import { Pipe } from '../pipe.js';
import { StreamGate, type StreamGateOptions, type StreamWish } from '../stream_gate.js';
import { type CreateServer, TCP_OPTIONS, turnAway } from '../tcp_socket.js';
import { listenOnPath } from './listen_path.js';

export interface LocalForwardOptions extends StreamGateOptions {
  readonly spec: LocalSpec;
  /** File descriptors for accepted connections. Default: unlimited. */
  readonly descriptors?: DescriptorShare;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: `createServer` of `node:net`. */
  readonly createServer?: CreateServer | undefined;
}

/** A connection that the far end did not open. Its client has seen a reset, or an answer from the proxy. */
export interface RefusedConnection {
  readonly target: Endpoint;
  readonly reason: Reason;
  /** For people; may be empty. */
  readonly text: string;
}

/** Events of a forward whose target the user names. */
export interface LocalForwardEvents {
  /** @param local where the forward listens, with the port that the system chose for port 0 */
  listening: [local: Endpoint];
  /** @param from the client's address; undefined at a path, and for a client that is already gone */
  connection: [from: HostPort | undefined];
  refused: [refused: RefusedConnection];
  /**
   * The forward accepts no more connections. A forward that is closed before it listens never emits
   * `listening`.
   */
  closed: [];
}

/**
 * A local forward: accepts connections on a port or path, and opens a stream to the target for each one. The
 * forward keeps no list of open connections. They belong to their session and end with it.
 */
export class LocalForward extends EventEmitter<LocalForwardEvents> {
  readonly #spec: LocalSpec;
  readonly #logger: Logger;
  readonly #descriptors: DescriptorShare;
  readonly #gate: StreamGate;
  readonly #server: Server;
  readonly #newServer: () => Server;
  /** Listens at ::1, if {@link #server} listens at the default loopback. */
  #beside: Server | undefined;
  #state: 'new' | 'listening' | 'closed' = 'new';
  #removeFile: (() => void) | undefined;

  constructor(options: LocalForwardOptions) {
    super();
    this.#spec = options.spec;
    this.#logger = options.logger ?? silentLogger;
    this.#descriptors = options.descriptors ?? unboundedShare();
    this.#gate = new StreamGate(options);
    this.#newServer = () => (options.createServer ?? createServer)(TCP_OPTIONS);
    this.#server = this.#newServer();
  }

  /** How many connections wait for a session. */
  get waiting(): number {
    return this.#gate.waiting;
  }

  /**
   * Starts listening. Call it once.
   *
   * @returns where the forward listens, with the port that the system chose for port 0
   * @throws {TunnelError} ERR_LISTEN, with the address and what to do; ERR_CLOSED when closed during the call
   */
  async listen(): Promise<Endpoint> {
    if (this.#state !== 'new') throw closedEarly();
    const { bind } = this.#spec;
    let local: Endpoint;
    try {
      local = isPath(bind) ? await this.#listenOnPath(bind) : await this.#listenOnPort(bind);
    } catch (error) {
      this.#state = 'closed';
      throw error;
    }
    if (this.#isClosed()) {
      this.#server.close();
      this.#beside?.close();
      this.#removeFile?.();
      throw closedEarly();
    }
    this.#state = 'listening';
    this.emit('listening', local);
    return local;
  }

  async #listenOnPath(bind: SocketPath): Promise<Endpoint> {
    this.#removeFile = await listenOnPath(bind.path, this.#server);
    this.#accept(this.#server);
    return bind;
  }

  async #listenOnPort(bind: Bind): Promise<Endpoint> {
    const { target } = this.#spec;
    const local = await listenOn(this.#server, { bind, target });
    this.#accept(this.#server);
    this.#beside = await listenBeside(bind, local, this.#logger, async (beside) => {
      const server = this.#newServer();
      await listenOn(server, { bind: beside, target });
      this.#accept(server);
      return server;
    });
    warnWhenPublic(local, this.#logger);
    return local;
  }

  #accept(server: Server): void {
    server.on('error', this.#onAcceptError);
    server.on('connection', this.#onConnection);
  }

  /** A method, because TypeScript assumes that a property keeps its value across an `await`. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Sets the session to open streams in; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    this.#gate.setSession(session);
  }

  /** Listening does not keep the process running. */
  unref(): void {
    this.#server.unref();
    this.#beside?.unref();
  }

  /** Accepts no more connections, and resets those waiting for a session. Open connections continue. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#server.close();
    this.#beside?.close();
    this.#removeFile?.();
    this.#gate.close();
    this.emit('closed');
  }

  readonly #onConnection = (socket: Socket): void => {
    if (!this.#descriptors.accept(socket)) {
      turnAway(socket);
      return;
    }
    const pipe: Pipe = new Pipe(socket, {
      onOver: () => this.#gate.forget(wish),
      isPath: isPath(this.#spec.bind),
    });
    const wish: StreamWish = {
      target: targetOf(this.#spec.target),
      handlers: pipe.opening((reason, text) => this.#refused(reason, text)),
      onAsked: (stream) => pipe.attach(stream),
    };
    const { remoteAddress: host, remotePort: port } = socket;
    this.emit('connection', host === undefined || port === undefined ? undefined : { host, port });
    if (!pipe.isOver) this.#gate.open(wish);
  };

  readonly #onAcceptError = (error: Error): void => {
    if (this.#descriptors.note(error)) return;
    this.#logger.log('warn', `${printEndpoint(this.#spec.bind)}: cannot accept a connection`, { error });
  };

  #refused(reason: Reason, text: string): void {
    const { target } = this.#spec;
    const detail = text === '' ? '' : ` (${text})`;
    this.#logger.log('warn', `no connection to ${printEndpoint(target)}: ${reason}${detail}`);
    this.emit('refused', { target, reason, text });
  }
}
