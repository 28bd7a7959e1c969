import { Timer, type Timers } from '../core/clock.js';
import type { BootstrapAddress, Path } from '../core/tox_network.js';

/**
 * Between two attempts to join: long enough for a node's answer, short enough for a network that has just
 * come up.
 */
const RETRY_MS = 5_000;
/** When to report for the first time that joining is taking long. It normally takes 1 to 5 s. */
const FIRST_REPORT_MS = 10_000;
/**
 * The same after the node was in the network. In a small network toxcore reports itself disconnected for a few seconds
 * whenever one of the few nodes has gone.
 */
const FIRST_REPORT_AGAIN_MS = 30_000;
const NEXT_REPORT_MS = 60_000;
/** Nodes that one message names. A list may have a thousand. */
const NAMED_NODES = 3;

export interface JoinerOptions {
  readonly nodes: readonly BootstrapAddress[];
  /** Whether toxcore searches the LAN for nodes by itself. */
  readonly lanDiscovery: boolean;
  /** Whether all traffic goes through a proxy. */
  readonly proxied?: boolean;
  readonly bootstrap: (nodes: readonly BootstrapAddress[]) => Promise<{ readonly failed: readonly string[] }>;
  readonly timers: Timers;
  readonly onWaiting: (message: string) => void;
}

/** Keeps trying to join the network while the node is out of it, and reports that now and then. */
export class Joiner {
  readonly #options: JoinerOptions;
  #path: Path | undefined;
  #wasIn = false;
  readonly #retry: Timer;
  readonly #report: Timer;
  #failed: readonly string[] = [];
  #trying = false;
  #closed = false;

  constructor(options: JoinerOptions) {
    this.#options = options;
    this.#retry = new Timer(options.timers);
    this.#report = new Timer(options.timers);
  }

  pathChanged(path: Path): void {
    const was = this.#path;
    this.#path = path;
    if (path !== 'none') {
      this.#wasIn = true;
      this.#clear();
    } else if (was !== 'none' && !this.#closed) {
      this.#try();
      this.#reportIn(this.#wasIn ? FIRST_REPORT_AGAIN_MS : FIRST_REPORT_MS);
    }
  }

  close(): void {
    this.#closed = true;
    this.#clear();
  }

  #try(): void {
    const { nodes, bootstrap } = this.#options;
    if (nodes.length === 0) return;
    this.#retry.set(RETRY_MS, () => this.#try());
    if (this.#trying) return;
    this.#trying = true;
    bootstrap(nodes)
      .then(({ failed }) => {
        this.#failed = failed;
      })
      // Only a dead worker rejects, and that is reported elsewhere.
      .catch(() => {})
      .finally(() => {
        this.#trying = false;
      });
  }

  #reportIn(delayMs: number): void {
    this.#report.set(delayMs, () => {
      this.#reportIn(NEXT_REPORT_MS);
      this.#options.onWaiting(this.#message());
    });
  }

  #message(): string {
    const { nodes, lanDiscovery, proxied = false } = this.#options;
    if (nodes.length === 0) {
      return lanDiscovery && !proxied
        ? 'no node found on this LAN yet; still looking. You can name a bootstrap node instead'
        : 'there is no node to join the network through, and LAN discovery is off: name a bootstrap node';
    }
    const who =
      nodes.length === 1 ? 'the bootstrap node has not' : `none of the ${nodes.length} bootstrap nodes has`;
    const hint = proxied
      ? 'Is the proxy running, and does it let us through?'
      : 'Is this machine online? Does a firewall block UDP?';
    return this.#wasIn
      ? `lost the network: ${who} answered since${this.#unusable()}; still trying. Open connections continue. ${hint}`
      : `${who} answered yet${this.#unusable()}; still trying. ${hint}`;
  }

  #unusable(): string {
    if (this.#failed.length === 0) return '';
    const more = this.#failed.length - NAMED_NODES;
    const named = this.#failed.slice(0, NAMED_NODES).join(', ');
    return ` (unusable now: ${named}${more > 0 ? ` and ${more} more` : ''})`;
  }

  #clear(): void {
    this.#retry.clear();
    this.#report.clear();
  }
}
