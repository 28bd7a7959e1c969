import { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { HostPort } from '../../rules/endpoint.js';
import { type Endpoint, isPath, printEndpoint, type SocketPath, targetOf } from '../../rules/endpoint.js';
import type { LocalSpec } from '../../rules/forward_spec.js';
import { boundAddress } from '../bound_address.js';
import { Pipe } from '../pipe.js';
import { turnAway } from '../reset_socket.js';
import { StreamGate, type StreamGateOptions, type StreamWish } from '../stream_gate.js';
import type { StreamOpener } from '../stream_opener.js';
import { TCP_OPTIONS } from '../tcp_options.js';
import { closedEarly, listenError } from './listen_error.js';
import { listenAtPath } from './listen_path.js';
import { warnWhenPublic } from './public_bind.js';

export interface LocalForwardOptions extends StreamGateOptions {
  readonly spec: LocalSpec;
  /** What accepted connections may use. Default: no bound. */
  readonly descriptors?: DescriptorShare;
  /** Default: silent. */
  readonly logger?: Logger;
}

/** A connection that came to nothing: its client has seen a reset. */
export interface RefusedConnection {
  readonly target: Endpoint;
  readonly reason: Reason;
  /** For people; may be empty. */
  readonly text: string;
}

export interface LocalForwardEvents {
  /** @param local where it listens, with the port that was picked for port 0 */
  listening: [local: Endpoint];
  /** @param from the client's address; undefined when it was gone already, and at a path */
  connection: [from: HostPort | undefined];
  refused: [refusal: RefusedConnection];
  /** No further connection is accepted. No event of listening follows. */
  closed: [];
}

/**
 * A local forward: accepts connections at a port or a path and opens a stream to the target for each. It keeps no
 * list of open connections: those belong to their session, and end with it. Only what waits for
 * a session is its own.
 */
export class LocalForward extends EventEmitter<LocalForwardEvents> {
  readonly #spec: LocalSpec;
  readonly #logger: Logger;
  readonly #descriptors: DescriptorShare;
  readonly #gate: StreamGate;
  readonly #server: Server;
  #state: 'new' | 'listening' | 'closed' = 'new';
  #removeFile: (() => void) | undefined;

  constructor(options: LocalForwardOptions) {
    super();
    this.#spec = options.spec;
    this.#logger = options.logger ?? silentLogger;
    this.#descriptors = options.descriptors ?? unboundedShare();
    this.#gate = new StreamGate(options);
    this.#server = createServer(TCP_OPTIONS);
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
  listen(): Promise<Endpoint> {
    const { bind } = this.#spec;
    return isPath(bind) ? this.#listenAtPath(bind) : this.#listenAtPort(bind);
  }

  async #listenAtPath(bind: SocketPath): Promise<Endpoint> {
    if (this.#state !== 'new') throw closedEarly();
    try {
      this.#removeFile = await listenAtPath(bind.path, this.#server);
    } catch (error) {
      this.#state = 'closed';
      throw error;
    }
    if (this.#isClosed()) {
      this.#server.close();
      this.#removeFile();
      throw closedEarly();
    }
    this.#up(bind);
    return bind;
  }

  #listenAtPort(bind: HostPort): Promise<Endpoint> {
    return new Promise((resolve, reject) => {
      const server = this.#server;
      const onError = (error: Error): void => {
        this.#state = 'closed';
        reject(listenError(bind, this.#spec.target, error));
      };
      const onClose = (): void => reject(closedEarly());
      if (this.#state !== 'new') {
        onClose();
        return;
      }
      server.once('error', onError);
      server.once('close', onClose);
      server.listen({ host: bind.host, port: bind.port }, () => {
        if (this.#isClosed()) {
          // Closed while the name of the bind address was looked up: Node listens all the same.
          server.close();
          return;
        }
        server.off('error', onError);
        server.off('close', onClose);
        const local = boundAddress(server, bind);
        warnWhenPublic(local, this.#logger);
        this.#up(local);
        resolve(local);
      });
    });
  }

  #up(local: Endpoint): void {
    this.#state = 'listening';
    this.#server.on('error', this.#onAcceptError);
    this.#server.on('connection', this.#onConnection);
    this.emit('listening', local);
  }

  /** As TypeScript does not expect a property to change while something is waited for. */
  #isClosed(): boolean {
    return this.#state === 'closed';
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
    this.#logger.log('warn', `${printEndpoint(this.#spec.bind)}: a connection could not be accepted`, {
      error,
    });
  };

  #refused(reason: Reason, text: string): void {
    const { target } = this.#spec;
    const detail = text === '' ? '' : ` (${text})`;
    this.#logger.log('warn', `no connection to ${printEndpoint(target)}: ${reason}${detail}`);
    this.emit('refused', { target, reason, text });
  }
}
