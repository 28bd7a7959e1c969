import type { TimerHandle, Timers } from '../core/clock.js';
import type { BootstrapAddress, Path } from '../core/tox_network.js';

/** Between two tries to join: long enough for a node's answer, short enough for a network that just came up. */
const RETRY_MS = 5_000;
/** The first word that it takes long; joining takes 1 to 5 s where all is well. */
const FIRST_WORD_MS = 10_000;
/** The same after it was in: toxcore believes to be out of a small network for some seconds whenever one of its few nodes has gone. */
const FIRST_WORD_AGAIN_MS = 30_000;
const NEXT_WORD_MS = 60_000;
/** Nodes that one message names: a list may have a thousand. */
const NAMED_NODES = 3;

export interface JoinerOptions {
  readonly nodes: readonly BootstrapAddress[];
  /** Whether toxcore looks for nodes on the LAN by itself. */
  readonly lanDiscovery: boolean;
  /** Whether a proxy is the only way out. */
  readonly proxied?: boolean;
  readonly bootstrap: (nodes: readonly BootstrapAddress[]) => Promise<{ readonly failed: readonly string[] }>;
  readonly timers: Timers;
  readonly onWaiting: (message: string) => void;
}

/** Keeps trying to join the network while the node is out of it, and says so now and then. */
export class Joiner {
  readonly #options: JoinerOptions;
  #path: Path | undefined;
  #wasIn = false;
  #retry: TimerHandle | undefined;
  #word: TimerHandle | undefined;
  #failed: readonly string[] = [];
  #trying = false;
  #closed = false;

  constructor(options: JoinerOptions) {
    this.#options = options;
  }

  pathChanged(path: Path): void {
    const was = this.#path;
    this.#path = path;
    if (path !== 'none') {
      this.#wasIn = true;
      this.#clear();
    } else if (was !== 'none' && !this.#closed) {
      this.#try();
      this.#sayLater(this.#wasIn ? FIRST_WORD_AGAIN_MS : FIRST_WORD_MS);
    }
  }

  close(): void {
    this.#closed = true;
    this.#clear();
  }

  #try(): void {
    const { nodes, bootstrap, timers } = this.#options;
    if (nodes.length === 0) return;
    this.#retry = timers.set(() => this.#try(), RETRY_MS);
    if (this.#trying) return;
    this.#trying = true;
    bootstrap(nodes)
      .then(({ failed }) => {
        this.#failed = failed;
      })
      // Only a dead worker fails here, and that is told as such.
      .catch(() => {})
      .finally(() => {
        this.#trying = false;
      });
  }

  #sayLater(delayMs: number): void {
    this.#word = this.#options.timers.set(() => {
      this.#sayLater(NEXT_WORD_MS);
      this.#options.onWaiting(this.#message());
    }, delayMs);
  }

  #message(): string {
    const { nodes, lanDiscovery, proxied = false } = this.#options;
    if (nodes.length === 0) {
      return lanDiscovery && !proxied
        ? 'no node of the network was found on this LAN yet; still looking. A bootstrap node may be named instead'
        : 'there is no node to join the network by, and the LAN is not searched: name a bootstrap node';
    }
    const yet = this.#wasIn ? 'now' : 'yet';
    const silence =
      nodes.length === 1
        ? `the bootstrap node does not answer ${yet}`
        : `none of the ${nodes.length} bootstrap nodes answers ${yet}`;
    const hint = proxied
      ? 'Does the proxy run, and let us through?'
      : 'Is this machine online, and UDP allowed?';
    return this.#wasIn
      ? `out of touch with the network: ${silence}${this.#unusable()}; still trying. What is connected stays so. ${hint}`
      : `${silence}${this.#unusable()}; still trying. ${hint}`;
  }

  #unusable(): string {
    if (this.#failed.length === 0) return '';
    const more = this.#failed.length - NAMED_NODES;
    const named = this.#failed.slice(0, NAMED_NODES).join(', ');
    return ` (cannot be used now: ${named}${more > 0 ? ` and ${more} more` : ''})`;
  }

  #clear(): void {
    if (this.#retry !== undefined) this.#options.timers.clear(this.#retry);
    if (this.#word !== undefined) this.#options.timers.clear(this.#word);
    this.#retry = undefined;
    this.#word = undefined;
  }
}
