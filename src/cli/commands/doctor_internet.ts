import { isIP } from 'node:net';
import { withDeadline } from '../../core/aborting.js';
import { errnoOf } from '../../core/errors.js';
import type { BootstrapAddress } from '../../core/tox_network.js';
import type { CliIo } from '../process/io.js';

/** The result of a check. */
export interface Finding {
  readonly ok: boolean;
  readonly message: string;
}

export const good = (message: string): Finding => ({ ok: true, message });
export const bad = (message: string, remedy: string): Finding => ({
  ok: false,
  message: `${message}; ${remedy}`,
});

/** How long the look-up of a name may take. A name server that answers does so within a second. */
export const LOOK_UP_MS = 5_000;

type Io = Pick<CliIo, 'localAddresses' | 'lookUp' | 'routeError' | 'timers'>;

/** What stands between this machine and the bootstrap nodes, asked without sending a packet to any of them. */
export class Internet {
  readonly #io: Io;
  readonly #signal: AbortSignal;
  readonly #addresses: readonly string[];
  readonly #names: readonly string[];
  /** Bootstrap nodes that can be tried, as far as is known. */
  #isReachable = true;

  constructor(io: Io, nodes: readonly BootstrapAddress[], signal: AbortSignal) {
    this.#io = io;
    this.#signal = signal;
    const hosts = [...new Set(nodes.map(({ host }) => host))];
    this.#addresses = hosts.filter((host) => isIP(host) !== 0);
    this.#names = hosts.filter((host) => isIP(host) === 0);
  }

  /** False when it is certain that no node can be reached, so that further checks would only waste time. */
  get isReachable(): boolean {
    return this.#isReachable;
  }

  get hasNames(): boolean {
    return this.#names.length > 0;
  }

  /** Checks that this machine has a network, and a route to a node whose address is known. */
  async route(): Promise<Finding> {
    const isAlone = this.#io.localAddresses().every(({ internal }) => internal);
    if (this.#addresses.length === 0) {
      if (!isAlone) return good('this machine has a network address');
      this.#isReachable = false;
      return bad('no network: this machine has no address but its loopback', CONNECT);
    }
    const errors = await Promise.all(this.#addresses.map((address) => this.#io.routeError(address)));
    if (errors.includes(undefined)) return good('this machine has a route to the bootstrap nodes');
    this.#isReachable = false;
    const why = isAlone ? 'this machine has no address but its loopback' : 'this machine has no route to it';
    return bad(`no internet connection: ${why} (${errnoOf(errors[0]) ?? 'unreachable'})`, CONNECT);
  }

  /** Checks that the names of nodes can be resolved. */
  async names(): Promise<Finding> {
    const errors = await Promise.all(this.#names.map((name) => this.#lookUpError(name)));
    const count = this.#names.length;
    const found = errors.filter((error) => error === undefined).length;
    if (found > 0) return good(`resolved ${found} of ${count} ${count === 1 ? 'name' : 'names'}`);
    const codes = [...new Set(errors)].join(', ');
    const which = count === 1 ? `the name ${this.#names[0]}` : `any of ${count} names`;
    const way = 'check the name server in the network settings of this machine (on Linux /etc/resolv.conf)';
    if (this.#addresses.length > 0)
      return bad(
        `no DNS: cannot resolve ${which} of bootstrap nodes (${codes})`,
        `${way}. Nodes that are known by address need no DNS`,
      );
    this.#isReachable = false;
    return bad(
      `no internet connection or no DNS: cannot resolve ${which} of bootstrap nodes (${codes})`,
      way,
    );
  }

  async #lookUpError(name: string): Promise<string | undefined> {
    const { timers } = this.#io;
    const error = () => new Error('no answer');
    try {
      const timeout = { ms: LOOK_UP_MS, timers, error };
      await withDeadline(this.#io.lookUp(name), { signal: this.#signal, timeout });
      return undefined;
    } catch (cause) {
      return errnoOf(cause) ?? `no answer within ${LOOK_UP_MS / 1000} s`;
    }
  }
}

const CONNECT = 'connect it (cable, Wi-Fi, VPN) and check its default route';
