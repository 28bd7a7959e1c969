import { systemTimers, type Timers } from '../../core/clock.js';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { bracketed, LOCALHOST } from '../../core/host.js';
import { type IpAddress, parseAddress } from '../../core/ip.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { OpenRequest } from '../../mux/stream/stream_api.js';
import type { ListenTarget } from '../../mux/wire/target.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { shown } from '../../rules/spec_text.js';
import { DenialLog } from '../denial_log.js';
import { ReversePort } from './reverse_port.js';

export interface ReversePortsOptions {
  /** How the peer is named in the log. */
  readonly peer: string;
  /** Asked before each port is opened, and when they have changed. */
  readonly rules: { permitsListen(bind: IpAddress, port: number): boolean };
  /** Ports open at once. */
  readonly maxPorts: number;
  /** What the ports and their connections may use. Default: no bound. */
  readonly descriptors?: DescriptorShare;
  /** A port was opened for the peer, or closed. */
  readonly onChange?: (status: 'open' | 'closed', local: HostPort) => void;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
}

/** The ports of this machine that one peer has had opened, each for as long as its stream lasts. */
export class ReversePorts {
  readonly #options: ReversePortsOptions;
  readonly #logger: Logger;
  readonly #denials: DenialLog;
  readonly #descriptors: DescriptorShare;
  readonly #ports = new Set<ReversePort>();
  #closed = false;

  constructor(options: ReversePortsOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#denials = new DenialLog(this.#logger);
    this.#descriptors = options.descriptors ?? unboundedShare();
  }

  /** Open, or about to be. */
  get count(): number {
    return this.#ports.size;
  }

  /** Where it listens for the peer, `host:port` each. */
  get open(): string[] {
    return [...this.#ports].flatMap(({ local }) => (local === undefined ? [] : [printHostPort(local)]));
  }

  /** Answers a request of the kind `listen`; returns at once. */
  handle(request: OpenRequest, { host, port }: ListenTarget): void {
    const { rules, maxPorts, onChange, timers = systemTimers } = this.#options;
    if (this.#closed) {
      request.refuse('peer-shutdown', 'shutting down');
      return;
    }
    const asked = `${bracketed(shown(host))}:${port}`;
    // A name would be a question to our resolver, and an answer that may change.
    const address = parseAddress(host.toLowerCase() === LOCALHOST ? '127.0.0.1' : host);
    if (address === undefined) {
      this.#deny(request, `${asked}: the bind address must be numeric, or ${LOCALHOST}`);
      return;
    }
    if (!rules.permitsListen(address, port)) {
      const rule = printHostPort({ host: address.text, port });
      this.#deny(
        request,
        `${asked} may not be listened at; its owner can allow it with --allow-reverse ${rule}`,
      );
      return;
    }
    if (this.#ports.size >= maxPorts) {
      request.refuse('limit', `${asked}: ${maxPorts} ports are open for this peer; close one first`);
      return;
    }
    const opened = new ReversePort({
      bind: { host: address.text, port },
      isPermitted: () => rules.permitsListen(address, port),
      peer: this.#options.peer,
      descriptors: this.#descriptors,
      logger: this.#logger,
      timers,
      onOpen: (local) => {
        this.#logger.log('info', `listens at ${printHostPort(local)} for a peer`, {
          peer: this.#options.peer,
        });
        onChange?.('open', local);
      },
      onOver: (local) => {
        this.#ports.delete(opened);
        if (local === undefined) return;
        this.#logger.log('info', `listens no more at ${printHostPort(local)} for a peer`, {
          peer: this.#options.peer,
        });
        onChange?.('closed', local);
      },
    });
    this.#ports.add(opened);
    opened.open(request);
  }

  /** The rules have changed: closes the ports that they no longer allow, and cuts what came by them. */
  recheck(): void {
    for (const port of [...this.#ports]) port.recheck();
  }

  /** Closes all ports and refuses what comes. Open connections end with their session. */
  close(): void {
    this.#closed = true;
    for (const port of [...this.#ports]) port.close('peer-shutdown');
  }

  #deny(request: OpenRequest, text: string): void {
    request.refuse('not-allowed', text);
    this.#denials.denied(text, { peer: this.#options.peer });
  }
}
