import { createServer, type Server, type Socket } from 'node:net';
import type { TimerHandle, Timers } from '../../core/clock.js';
import type { DescriptorShare } from '../../core/descriptors.js';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import { parseAddress } from '../../core/ip.js';
import { SESSION_WAIT_MS } from '../../core/limits.js';
import type { Logger } from '../../core/logger.js';
import type { MuxStream, OpenRequest } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { boundAddress } from '../bound_address.js';
import { Pipe } from '../pipe.js';
import { turnAway } from '../reset_socket.js';
import { TCP_OPTIONS } from '../tcp_options.js';

export interface ReversePortOptions {
  /** A numeric address; port 0: the system chooses. */
  readonly bind: HostPort;
  readonly isPermitted: () => boolean;
  /** How the peer is named in the log. */
  readonly peer: string;
  /** What the port and its connections may use. */
  readonly descriptors: DescriptorShare;
  readonly logger: Logger;
  readonly timers: Timers;
  readonly onOpen: (local: HostPort) => void;
  /** Called once. @param local where it listened; undefined when it came to nothing */
  readonly onOver: (local: HostPort | undefined) => void;
}

/**
 * A port that a peer has had opened: each connection to it becomes a stream of the kind `accepted`, in
 * the session that asked. Connections that are open outlive the port, and end with the session.
 */
export class ReversePort {
  readonly #options: ReversePortOptions;
  readonly #server: Server;
  /** Each cuts one connection. */
  readonly #connections = new Set<() => void>();
  #local: HostPort | undefined;
  #stream: MuxStream | undefined;
  #closed = false;

  constructor(options: ReversePortOptions) {
    this.#options = options;
    this.#server = createServer(TCP_OPTIONS);
  }

  /** Where it listens; undefined before. */
  get local(): HostPort | undefined {
    return this.#local;
  }

  /** Starts to listen, and answers the request with how that went; to be called once. */
  open(request: OpenRequest): void {
    const { bind, descriptors } = this.#options;
    const server = this.#server;
    request.onCancelled = () => this.#over();
    const onError = (error: unknown): void => {
      descriptors.note(error);
      const [reason, text] = listenFailure(error);
      request.refuse(reason, `${printHostPort(bind)} ${text}`);
      this.#over();
    };
    server.once('error', onError);
    try {
      descriptors.open(() => server);
    } catch (error) {
      onError(error);
      return;
    }
    server.listen({ host: bind.host, port: bind.port }, () => {
      if (this.#closed) {
        server.close();
        request.refuse('cancelled', 'no longer wanted');
        return;
      }
      server.removeAllListeners('error').on('error', (error) => {
        if (descriptors.note(error)) return;
        this.#log('warn', `${printHostPort(bind)}: a connection could not be accepted`, { error });
      });
      this.#listening(request);
    });
  }

  /** Tells the peer why, and listens no more. */
  close(reason: Reason): void {
    if (this.#closed) return;
    this.#stream?.reset(reason);
    this.#over();
  }

  /** Closes the port when it is no longer allowed, and cuts what came by it. */
  recheck(): void {
    if (this.#closed || this.#options.isPermitted()) return;
    this.#log('warn', 'a port was closed: the rules no longer allow it');
    for (const cut of [...this.#connections]) cut();
    this.close('not-allowed');
  }

  #listening(request: OpenRequest): void {
    const { port } = boundAddress(this.#server, this.#options.bind);
    if (!this.#options.isPermitted()) {
      // The rules have changed while it was opened.
      request.refuse('not-allowed', 'this port may no longer be listened at');
      this.#over();
      return;
    }
    try {
      this.#stream = request.accept({
        // The peer has nothing to say on this stream.
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
    this.#server.on('connection', (socket) => this.#onConnection(socket, request));
    this.#stream.write(Uint8Array.of(port >>> 8, port & 0xff));
    this.#options.onOpen(this.#local);
  }

  #onConnection(socket: Socket, { idBytes: listener, opener }: OpenRequest): void {
    const { timers, descriptors } = this.#options;
    const { remoteAddress, remotePort = 0 } = socket;
    if (remoteAddress === undefined || !descriptors.accept(socket)) {
      turnAway(socket);
      return;
    }
    let unanswered: TimerHandle | undefined;
    const answered = (): void => {
      if (unanswered !== undefined) timers.clear(unanswered);
      unanswered = undefined;
    };
    const pipe: Pipe = new Pipe(socket, {
      onOver: () => {
        answered();
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
            this.#log('info', `the peer did not take a connection: ${text === '' ? reason : text}`),
          ),
          onOpened: () => {
            answered();
            pipe.flow();
          },
        },
      );
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      this.#log('warn', `a connection was turned away: ${error.message}`);
      pipe.abort();
      return;
    }
    this.#connections.add(cut);
    // Also for a peer that is away: who connects is not to wait for as long as its streams do.
    unanswered = timers.set(() => end('timeout'), SESSION_WAIT_MS);
    pipe.attach(stream);
  }

  #over(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.close();
    this.#options.onOver(this.#local);
  }

  #log(level: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const at = printHostPort(this.#local ?? this.#options.bind);
    this.#options.logger.log(level, message, { peer: this.#options.peer, at, ...fields });
  }
}

/** Why a port could not be opened, and what whoever asked can do. */
function listenFailure(error: unknown): readonly [Reason, string] {
  const exhausted = exhaustionOf(error);
  if (exhausted !== undefined)
    return [
      'limit',
      `could not be opened: the far end has ${exhausted}; try again when connections have closed`,
    ];
  const code = errnoOf(error) ?? 'failed';
  switch (code) {
    case 'EADDRINUSE':
      return ['busy', 'is in use at the far end; ask for another port'];
    case 'EACCES':
    case 'EPERM':
      return ['not-allowed', 'is not for the user of the far end to listen at; ask for a port from 1024 on'];
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return ['unreachable', `is no address of the far end (${code}); leave the bind address out`];
    default:
      return ['internal', `could not be opened at the far end (${code})`];
  }
}
