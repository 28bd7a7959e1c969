import { systemTimers, type Timers } from '../../core/clock.js';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { bracketed, LOCALHOST } from '../../core/host.js';
import { type IpAddress, parseAddress } from '../../core/ip.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { OpenRequest } from '../../mux/stream/stream_api.js';
import type { ListenTarget } from '../../mux/wire/target.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { shown } from '../../rules/spec_text.js';
import { DenialLog } from '../serve_log.js';
import type { CreateServer } from '../tcp_socket.js';
import type { PortHolders, PortOwner } from './port_holders.js';
import { ReversePort } from './reverse_port.js';

export interface ReverseServerOptions {
  /** The peer. */
  readonly owner: PortOwner;
  /** The ports of all peers of the listener. */
  readonly holders: PortHolders;
  /** Asked before each port is opened, and again by {@link ReverseServer.recheck}. */
  readonly rules: { permitsListen(bind: IpAddress, port: number): boolean };
  /** Asked about each connection to an open port. Default: always. */
  readonly mayOpen?: () => boolean;
  /** How many ports may be open at once. */
  readonly maxPorts: number;
  /** File descriptors for the ports and their connections. Default: unlimited. */
  readonly descriptors?: DescriptorShare;
  /** Called when a port was opened for the peer, or closed. */
  readonly onChange?: (status: 'open' | 'closed', local: HostPort) => void;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
  /** Default: `createServer` of `node:net`. */
  readonly createServer?: CreateServer | undefined;
}

/** The listener's end of `-R`: opens ports for one peer, each for as long as its stream lasts. */
export class ReverseServer {
  readonly #options: ReverseServerOptions;
  readonly #logger: Logger;
  readonly #denials: DenialLog;
  readonly #descriptors: DescriptorShare;
  readonly #ports = new Set<ReversePort>();
  #closed = false;

  constructor(options: ReverseServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#denials = new DenialLog(this.#logger);
    this.#descriptors = options.descriptors ?? unboundedShare();
  }

  /** How many ports are open, or being opened. */
  get count(): number {
    return this.#ports.size;
  }

  /** The open ports, each as `host:port`. */
  get open(): string[] {
    return [...this.#ports].flatMap(({ local }) => (local === undefined ? [] : [printHostPort(local)]));
  }

  /** Answers a `listen` request later; returns at once. */
  handle(request: OpenRequest, { host, port }: ListenTarget): void {
    const { owner, holders, rules, mayOpen, maxPorts, onChange, createServer } = this.#options;
    const { timers = systemTimers } = this.#options;
    if (this.#closed) {
      request.refuse('peer-shutdown', 'shutting down');
      return;
    }
    const asked = `${bracketed(shown(host))}:${port}`;
    // No names: the peer could query our resolver with them, and their addresses may change.
    const address = parseAddress(host.toLowerCase() === LOCALHOST ? '127.0.0.1' : host);
    if (address === undefined) {
      this.#deny(request, `${asked}: the bind address must be numeric, or ${LOCALHOST}`);
      return;
    }
    if (!rules.permitsListen(address, port)) {
      const rule = printHostPort({ host: address.text, port });
      const hint = `the listener's owner can allow it with --allow-reverse ${rule}`;
      this.#deny(request, `${asked}: listening there is not allowed; ${hint}`);
      return;
    }
    if (this.#ports.size >= maxPorts) {
      request.refuse('limit', `${asked}: this peer already has ${maxPorts} open ports; close one first`);
      return;
    }
    if (!holders.takeTurn(owner.grant)) {
      const text =
        'ports were opened too fast with this ticket, so this one was not; ask again in a few seconds';
      request.refuse('limit', `${asked}: ${text}`);
      return;
    }
    const opened = new ReversePort({
      bind: { host: address.text, port },
      isPermitted: () => rules.permitsListen(address, port),
      mayOpen,
      owner,
      holders,
      descriptors: this.#descriptors,
      logger: this.#logger,
      denials: this.#denials,
      timers,
      createServer,
      onOpen: (local) => {
        this.#logger.log('info', `listening on ${printHostPort(local)} for a peer`, {
          peer: owner.publicKey,
        });
        onChange?.('open', local);
      },
      onOver: (local) => {
        this.#ports.delete(opened);
        if (local === undefined) return;
        this.#logger.log('info', `no longer listening on ${printHostPort(local)} for a peer`, {
          peer: owner.publicKey,
        });
        onChange?.('closed', local);
      },
    });
    this.#ports.add(opened);
    opened.open(request);
  }

  /**
   * Closes the ports that the rules no longer allow, and cuts their connections. Call it when the rules have
   * changed.
   */
  recheck(): void {
    for (const port of [...this.#ports]) port.recheck();
  }

  /** Closes all ports and refuses new requests. Open connections end with their session. */
  close(): void {
    this.#closed = true;
    for (const port of [...this.#ports]) port.close('peer-shutdown');
  }

  #deny(request: OpenRequest, text: string): void {
    request.refuse('not-allowed', text);
    this.#denials.denied(text, { peer: this.#options.owner.publicKey });
  }
}
