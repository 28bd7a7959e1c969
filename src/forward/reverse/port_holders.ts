import { Allowance } from '../../core/allowance.js';
import { Timer, type Timers } from '../../core/clock.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { HostPort } from '../../rules/endpoint.js';
import type { Grant } from '../../rules/rule_book.js';

/** The peer for which a port is open. */
export interface PortOwner {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** What let the peer in. Peers with the same grant may take a port over from each other. */
  readonly grant: Grant;
  /** False while the peer is known to be away. */
  readonly isOnline: boolean;
  /** Asks the peer for a sign of life. @param callback receives undefined when there will be none */
  ping(callback: (roundTripMs: number | undefined) => void): void;
}

/** A port that is open for a peer. */
export interface HeldPort {
  /** The address that the port listens at; undefined until it does. */
  readonly local: HostPort | undefined;
  readonly owner: PortOwner;
  /** Number of open connections through the port. */
  readonly connections: number;
  close(reason: Reason): void;
}

/**
 * Ports that the holders of one ticket may open at once after a pause, and per second. Each is a line in the log and the
 * audit when it opens, and another when it closes. A restart with all peers needs many at once; at the rate, a peer that
 * opens and closes ports all day writes 160 MB.
 */
export const PORTS_BURST = 1024;
export const PORTS_PER_SECOND = 4;

/** Why a port cannot be opened. */
export interface HeldByOther {
  /** The public key of the peer that has the port, for the listener's own log: other peers never learn it. */
  readonly holder: string;
  /** What the newcomer is told, and what it can do. */
  readonly whyNot: string;
}

/** How long the holder of a port has for a sign of life before it counts as away, in milliseconds. */
export const SIGN_OF_LIFE_MS = 3_000;

/**
 * The ports that are open for all the peers of a listener. A peer that is away and has no connection through its port
 * makes room for another one with the same ticket: most likely it is the same connector, restarted with another
 * identity.
 */
export class PortHolders {
  readonly #timers: Timers;
  readonly #ports = new Set<HeldPort>();
  readonly #allowances = new WeakMap<Grant, Allowance>();
  readonly #signsOfLife = new Map<PortOwner, Promise<boolean>>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Whether holders of this grant may open one more port now. Takes its turn if so. */
  takeTurn(grant: Grant): boolean {
    const nowMs = this.#timers.nowMs();
    let allowance = this.#allowances.get(grant);
    if (allowance === undefined) {
      allowance = new Allowance(PORTS_BURST, PORTS_PER_SECOND, nowMs);
      this.#allowances.set(grant, allowance);
    }
    return allowance.take(nowMs);
  }

  add(port: HeldPort): void {
    this.#ports.add(port);
  }

  delete(port: HeldPort): void {
    this.#ports.delete(port);
  }

  /**
   * Closes the port that another peer has at an address, if that peer makes room.
   *
   * @returns `freed` when listening may work now; undefined when no peer has the address
   */
  async makeRoom(wanted: HostPort, newcomer: PortOwner): Promise<'freed' | HeldByOther | undefined> {
    const port = [...this.#ports].find(({ local }) => local !== undefined && overlap(local, wanted));
    if (port === undefined) return undefined;
    const { owner } = port;
    const held = (whyNot: string): HeldByOther => ({ holder: owner.publicKey, whyNot });
    if (owner === newcomer) return held('is open for this connector already; ask for another port');
    const who = 'is held by another peer';
    if (owner.grant !== newcomer.grant) {
      const state = owner.isOnline ? 'connected' : 'away';
      return held(`${who}, which has another ticket and is ${state}; ask for another port`);
    }
    if (owner.isOnline && (await this.#showsLife(owner)))
      return held(`${who}, which is connected; ask for another port, or stop that connector`);
    if (!this.#ports.has(port)) return 'freed';
    const { connections } = port;
    if (connections > 0) {
      const open = connections === 1 ? '1 open connection' : `${connections} open connections`;
      return held(`${who}, which is away and has ${open}; the port will be free once they end`);
    }
    port.close('busy');
    return 'freed';
  }

  /** Newcomers waiting for the same peer share one answer. */
  #showsLife(owner: PortOwner): Promise<boolean> {
    const asked = this.#signsOfLife.get(owner);
    if (asked !== undefined) return asked;
    const timer = new Timer(this.#timers);
    const answer = new Promise<boolean>((resolve) => {
      timer.set(SIGN_OF_LIFE_MS, () => resolve(false));
      owner.ping((roundTripMs) => resolve(roundTripMs !== undefined));
    }).finally(() => {
      timer.clear();
      this.#signsOfLife.delete(owner);
    });
    this.#signsOfLife.set(owner, answer);
    return answer;
  }
}

const ALL_ADDRESSES: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** Whether the system refuses to listen at both addresses at once. */
function overlap(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && (a.host === b.host || [a, b].some(({ host }) => ALL_ADDRESSES.has(host)));
}
