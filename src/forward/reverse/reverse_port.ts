import { createServer, type Server, type Socket } from 'node:net';
import { Timer, type Timers } from '../../core/clock.js';
import type { DescriptorShare } from '../../core/descriptors.js';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import { parseAddress } from '../../core/ip.js';
import { ACCEPT_BACKLOG, SESSION_WAIT_MS } from '../../core/limits.js';
import type { Logger } from '../../core/logger.js';
import type { MuxStream, OpenRequest } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { boundAddress } from '../listen.js';
import { Pipe } from '../pipe.js';
import type { DenialLog } from '../serve_log.js';
import { type CreateServer, TCP_OPTIONS, turnAway } from '../tcp_socket.js';
import type { HeldPort, PortHolders, PortOwner } from './port_holders.js';

export interface ReversePortOptions {
  /** A numeric address. The system chooses a port for port 0. */
  readonly bind: HostPort;
  /** Tells whether the rules still allow the port. */
  readonly isPermitted: () => boolean;
  /** Whether a connection may become a stream now. Default: always. */
  readonly mayOpen?: (() => boolean) | undefined;
  readonly owner: PortOwner;
  /** The ports of all peers. */
  readonly holders: PortHolders;
  /** File descriptors for the port and its connections. */
  readonly descriptors: DescriptorShare;
  readonly logger: Logger;
  /** Logs requests for ports that other peers hold. */
  readonly denials: DenialLog;
  readonly timers: Timers;
  /** Default: `createServer` of `node:net`. */
  readonly createServer?: CreateServer | undefined;
  readonly onOpen: (local: HostPort) => void;
  /** Called once, when the port is closed. @param local where it listened; undefined if it never did */
  readonly onOver: (local: HostPort | undefined) => void;
}

/**
 * One port that listens for a peer. Each connection to it becomes an `accepted` stream in the session that
 * requested the port. Open connections outlive the port and end with the session.
 */
export class ReversePort implements HeldPort {
  readonly #options: ReversePortOptions;
  readonly #server: Server;
  /** One function for each connection, which cuts it. */
  readonly #connections = new Set<() => void>();
  #local: HostPort | undefined;
  #stream: MuxStream | undefined;
  #closed = false;

  constructor(options: ReversePortOptions) {
    this.#options = options;
    this.#server = (options.createServer ?? createServer)(TCP_OPTIONS);
  }

  /** The address that the port listens at; undefined until it does. */
  get local(): HostPort | undefined {
    return this.#local;
  }

  get owner(): PortOwner {
    return this.#options.owner;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Starts listening, then answers the request. Call it once. */
  open(request: OpenRequest): void {
    const { descriptors } = this.#options;
    const server = this.#server;
    request.onCancelled = () => this.#over();
    try {
      descriptors.open(() => server);
    } catch (error) {
      this.#fail(request, error);
      return;
    }
    server.once('listening', () => {
      if (this.#closed) {
        server.close();
        request.refuse('cancelled', 'no longer wanted');
        return;
      }
      server.removeAllListeners('error').on('error', (error) => {
        if (descriptors.note(error)) return;
        this.#log('warn', 'cannot accept a connection', { error });
      });
      this.#listening(request);
    });
    this.#listen(request);
  }

  /** Closes the port and tells the peer why. */
  close(reason: Reason): void {
    if (this.#closed) return;
    this.#stream?.reset(reason);
    this.#over();
  }

  /** Closes the port and cuts its connections if the rules no longer allow it. */
  recheck(): void {
    if (this.#closed || this.#options.isPermitted()) return;
    this.#log('warn', 'closed a port that the rules no longer allow');
    for (const cut of [...this.#connections]) cut();
    this.close('not-allowed');
  }

  #listen(request: OpenRequest): void {
    const { host, port } = this.#options.bind;
    this.#server.once('error', (error) => {
      if (errnoOf(error) === 'EADDRINUSE') void this.#taken(request, error);
      else this.#fail(request, error);
    });
    this.#server.listen({ host, port, backlog: ACCEPT_BACKLOG });
  }

  /** The address is in use: tries again if another peer had it and makes room. */
  async #taken(request: OpenRequest, error: unknown): Promise<void> {
    const { bind, holders, owner, denials } = this.#options;
    const room = await holders.makeRoom(bind, owner);
    if (this.#closed) request.refuse('cancelled', 'no longer wanted');
    else if (room === undefined) this.#fail(request, error);
    else if (room === 'freed') this.#listen(request);
    else {
      const text = `${printHostPort(bind)} ${room.whyNot}`;
      denials.denied(text, { peer: owner.publicKey, holder: room.holder });
      request.refuse('busy', text);
      this.#over();
    }
  }

  #fail(request: OpenRequest, error: unknown): void {
    const { bind, descriptors } = this.#options;
    descriptors.note(error);
    const [reason, text] = listenFailure(error);
    request.refuse(reason, `${printHostPort(bind)} ${text}`);
    this.#over();
  }

  #listening(request: OpenRequest): void {
    const { port } = boundAddress(this.#server, this.#options.bind);
    if (!this.#options.isPermitted()) {
      // The rules have changed in the meantime.
      request.refuse('not-allowed', 'listening on this port is no longer allowed');
      this.#over();
      return;
    }
    request.reached = printHostPort({ host: this.#options.bind.host, port });
    try {
      this.#stream = request.accept({
        // The peer must not send anything on this stream.
        onData: () => this.close('protocol-error'),
        onEnd: () => this.close('cancelled'),
        onReset: () => this.#over(),
      });
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      this.#over();
      return;
    }
    this.#local = { host: this.#options.bind.host, port };
    this.#options.holders.add(this);
    this.#server.on('connection', (socket) => this.#onConnection(socket, request));
    this.#stream.write(Uint8Array.of(port >>> 8, port & 0xff));
    this.#options.onOpen(this.#local);
  }

  #onConnection(socket: Socket, { idBytes: listener, opener }: OpenRequest): void {
    const { timers, descriptors, mayOpen } = this.#options;
    const { remoteAddress, remotePort = 0 } = socket;
    if (remoteAddress === undefined || mayOpen?.() === false || !descriptors.accept(socket)) {
      turnAway(socket);
      return;
    }
    const unanswered = new Timer(timers);
    const pipe: Pipe = new Pipe(socket, {
      onOver: () => {
        unanswered.clear();
        this.#connections.delete(cut);
      },
    });
    let stream: MuxStream | undefined;
    const end = (reason: Reason): void => {
      stream?.reset(reason);
      pipe.abort();
    };
    const cut = (): void => end('not-allowed');
    try {
      const host = parseAddress(remoteAddress)?.text ?? remoteAddress;
      stream = opener.open(
        { kind: 'accepted', listener, host, port: remotePort },
        {
          ...pipe.opening((reason, text) =>
            this.#log('info', `the peer refused a connection: ${text === '' ? reason : text}`),
          ),
          onOpened: () => {
            unanswered.clear();
            pipe.flow();
          },
        },
      );
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      this.#log('warn', `turned a connection away: ${error.message}`);
      pipe.abort();
      return;
    }
    this.#connections.add(cut);
    // Streams wait longer than this for an absent peer. A client that has just connected should not.
    unanswered.set(SESSION_WAIT_MS, () => end('timeout'));
    pipe.attach(stream);
  }

  #over(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.close();
    this.#options.holders.delete(this);
    this.#options.onOver(this.#local);
  }

  #log(level: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const at = printHostPort(this.#local ?? this.#options.bind);
    this.#options.logger.log(level, message, { peer: this.owner.publicKey, at, ...fields });
  }
}

/** Returns why a port cannot be opened, and what the peer can do about it. */
function listenFailure(error: unknown): readonly [Reason, string] {
  const exhausted = exhaustionOf(error);
  if (exhausted !== undefined) {
    const remedy = 'try again when some connections have closed';
    return ['limit', `cannot be opened: the far end has ${exhausted}; ${remedy}`];
  }
  const code = errnoOf(error) ?? 'failed';
  switch (code) {
    case 'EADDRINUSE':
      return ['busy', 'is in use at the far end; ask for another port'];
    case 'EACCES':
    case 'EPERM':
      return [
        'not-allowed',
        'cannot be opened: the far end may not use this port; ask for a port above 1023',
      ];
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return ['unreachable', `is not an address of the far end (${code}); leave out the bind address`];
    default:
      return ['internal', `cannot be opened at the far end (${code})`];
  }
}
