import type { Socket as UdpSocket } from 'node:dgram';
import { connect as connectSocket, type Socket } from 'node:net';
import { isAborted, onAbort, withDeadline } from '../../core/aborting.js';
import { systemTimers, Timer, type Timers } from '../../core/clock.js';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { type Host, isLocalhostName, printHost, readHost } from '../../core/host.js';
import { type IpAddress, isOwnAddress, parseAddress } from '../../core/ip.js';
import { DIAL_TIMEOUT_MS, MAX_DIALS_PER_PEER } from '../../core/limits.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { TargetRules } from '../../rules/allow.js';
import { type Endpoint, foreignPath, type HostPort, isPath, readSocketPath } from '../../rules/endpoint.js';
import { type Protocol, ruleForAll } from '../../rules/expose.js';
import { shown } from '../../rules/spec_text.js';
import { type Connect, TCP_OPTIONS } from '../tcp_socket.js';
import { type ConnectUdp, connectUdp } from '../udp_socket.js';
import { DialPlaces } from './dial_places.js';
import { type Attempt, raceToConnect } from './dial_race.js';
import { dialReason, failureText, resolveReason } from './dial_reason.js';
import type { Resolve } from './name_lookups.js';

/** Why a dial failed. */
export interface DialFailure {
  readonly kind: 'failed';
  readonly reason: Reason;
  /** For people at the far end. It names the target as they did. */
  readonly text: string;
}

export type DialResult = { readonly kind: 'connected'; readonly socket: Socket } | DialFailure;

/** `address` is where the datagrams go. */
export type UdpDialResult =
  | { readonly kind: 'connected'; readonly socket: UdpSocket; readonly address: IpAddress }
  | DialFailure;

export interface DialerOptions {
  /**
   * Asked when a dial is requested, again after it has waited for its turn, and about each address of the
   * name.
   */
  readonly rules: TargetRules;
  readonly resolve: Resolve;
  /** Whether an address is one of this machine's. Default: asks the system. */
  readonly isOwn?: (address: IpAddress) => boolean;
  /** Default: {@link connectTo}. */
  readonly connect?: Connect | undefined;
  /** Default: {@link connectUdp}. */
  readonly connectUdp?: ConnectUdp;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
  /**
   * How long a dial may take, including the look-up, in milliseconds. It waits for its turn as long as others end
   * within that time. Default: {@link DIAL_TIMEOUT_MS}.
   */
  readonly timeoutMs?: number;
  /**
   * How many dials run at once, at most half of them to one target; others wait. Default:
   * {@link MAX_DIALS_PER_PEER}.
   */
  readonly maxDials?: number;
  /** File descriptors for sockets to targets. Default: unlimited. */
  readonly descriptors?: DescriptorShare;
}

/**
 * Shortest time that a denial takes, in milliseconds, when the peer must not learn whether the name exists. Most
 * resolvers answer within that time, and a cached answer comes no faster.
 */
const QUIET_DENIAL_MS = 1000;

/** How much longer than one dial the queue may stand still, in milliseconds: dials that began together end first. */
const TURN_GRACE_MS = 1_000;
/** The longest wait of a dial for its turn, in milliseconds. */
const MAX_TURN_MS = 300_000;

/** How many addresses of one name are tried, best first. Each may cost a socket. */
const MAX_ADDRESSES = 8;

/**
 * Dials targets for one peer. Nothing else dials for a peer. It checks the rules against the very address
 * that it then connects to, and looks up a name only once.
 */
export class Dialer {
  readonly #rules: TargetRules;
  readonly #resolve: Resolve;
  readonly #isOwn: (address: IpAddress) => boolean;
  readonly #connect: Connect;
  readonly #connectUdp: ConnectUdp;
  readonly #timers: Timers;
  readonly #timeoutMs: number;
  readonly #maxDials: number;
  readonly #descriptors: DescriptorShare;
  readonly #places: DialPlaces;

  constructor(options: DialerOptions) {
    this.#rules = options.rules;
    this.#resolve = options.resolve;
    this.#isOwn = options.isOwn ?? isOwnAddress;
    this.#connect = options.connect ?? connectTo;
    this.#connectUdp = options.connectUdp ?? connectUdp;
    this.#timers = options.timers ?? systemTimers;
    this.#timeoutMs = options.timeoutMs ?? DIAL_TIMEOUT_MS;
    this.#maxDials = options.maxDials ?? MAX_DIALS_PER_PEER;
    this.#descriptors = options.descriptors ?? unboundedShare();
    this.#places = new DialPlaces(this.#maxDials);
  }

  /** How many dials are in progress. An abandoned one counts until the resolver has answered. */
  get dialing(): number {
    return this.#places.active;
  }

  /**
   * Connects to a target. Waits for its turn while too many dials are in progress. Never rejects.
   *
   * @param signal cancels the dial, which then fails with the reason `cancelled`
   */
  dial(target: Endpoint, signal?: AbortSignal): Promise<DialResult> {
    if (isPath(target)) return this.#dialPath(target.path, signal);
    return this.#dialHost('tcp', target, signal, (asked, addresses, deadline) => {
      const attempts = addresses.map((address) => () => this.#connect(address, target.port));
      return this.#race(asked, attempts, deadline);
    });
  }

  /**
   * Opens a socket for datagrams to a target. UDP has no handshake, so this takes the first routable address
   * of a name. Waits for its turn as {@link dial} does. Never rejects.
   *
   * @param signal cancels the dial, which then fails with the reason `cancelled`
   */
  dialUdp(target: HostPort, signal?: AbortSignal): Promise<UdpDialResult> {
    return this.#dialHost('udp', target, signal, async (asked, addresses) => {
      const errors: unknown[] = [];
      for (const address of addresses) {
        try {
          const socket = await this.#descriptors.openSoon(() => this.#connectUdp(address, target.port));
          return { kind: 'connected', socket, address };
        } catch (error) {
          errors.push(error);
        }
      }
      return this.#allFailed(asked, errors);
    });
  }

  async #dialPath(text: string, signal: AbortSignal | undefined): Promise<DialResult> {
    const asked = shown(text);
    const read = readSocketPath(text);
    if (typeof read === 'string') return failed('not-allowed', `${asked}: the path ${read}`);
    const { path } = read;
    const notExposed = failed('not-allowed', `${asked} is not exposed; ${exposeHint(shown(path))}`);
    if (!this.#rules.permitsPath(path)) return notExposed;
    const foreign = foreignPath(path);
    if (foreign !== undefined) return failed('unreachable', `${asked}: ${foreign}`);
    const noTurn = this.#places.tryEnter(asked) ? undefined : await this.#turn(asked, signal);
    if (noTurn !== undefined) return noTurn;
    const deadline = new Deadline(this.#timers, this.#timeoutMs, signal);
    try {
      // The rules may have changed during the wait.
      if (!this.#rules.permitsPath(path)) return notExposed;
      return await this.#race(asked, [() => connectSocket({ path, allowHalfOpen: true })], deadline);
    } finally {
      deadline.end();
      this.#places.leave(asked);
    }
  }

  async #dialHost<Result>(
    protocol: Protocol,
    target: HostPort,
    signal: AbortSignal | undefined,
    connect: (asked: string, addresses: readonly IpAddress[], deadline: Deadline) => Promise<Result>,
  ): Promise<Result | DialFailure> {
    const asked = `${shown(target.host)} port ${target.port}`;
    const host = readHost(target.host);
    if (typeof host === 'string') return failed('not-allowed', `${asked}: the host ${host}`);
    const notExposed = failed(
      'not-allowed',
      `${asked} is not exposed; ${exposeHint(`${printHost(host)}:${target.port}`)}`,
    );
    if (!this.#rules.mayPermit(host, target.port, protocol)) return notExposed;
    const noTurn = this.#places.tryEnter(asked) ? undefined : await this.#turn(asked, signal);
    if (noTurn !== undefined) return noTurn;
    // The rules may have changed during the wait.
    if (!this.#rules.mayPermit(host, target.port, protocol)) {
      this.#places.leave(asked);
      return notExposed;
    }

    const deadline = new Deadline(this.#timers, this.#timeoutMs, signal);
    const quiet = this.#rules.mayTell(host, target.port, protocol)
      ? undefined
      : new QuietDenial(this.#timers, deadline, notExposed);
    const addresses = this.#addresses(host, deadline.signal);
    let isFound = false;
    try {
      const found = await withDeadline(addresses, { signal: deadline.signal });
      const permitted = found.filter((address) =>
        this.#rules.permits(host, address, target.port, protocol, this.#isOwn),
      );
      if (permitted.length === 0) {
        if (quiet !== undefined) return await quiet.denial(asked);
        if (host.kind === 'address') return notExposed;
        if (found.length === 0) return failed('name-not-found', `${asked}: the name has no address`);
        return failed('not-allowed', `${asked} ${LEADS_TO_SPECIAL}${target.port}`);
      }
      isFound = true;
      return await connect(asked, permitted.slice(0, MAX_ADDRESSES), deadline);
    } catch (error) {
      if (deadline.signal.aborted)
        return quiet === undefined || isFound ? deadline.failed(asked) : await quiet.denial(asked);
      this.#descriptors.note(error);
      const reason = resolveReason(error);
      if (quiet !== undefined && reason !== 'limit') return await quiet.denial(asked);
      return failed(reason, `${asked}: ${failureText(error)}`);
    } finally {
      quiet?.end();
      deadline.end();
      const release = (): void => this.#places.leave(asked);
      void addresses.then(release, release);
    }
  }

  async #race(asked: string, attempts: readonly Attempt[], deadline: Deadline): Promise<DialResult> {
    const counted = attempts.map((attempt) => () => this.#descriptors.open(attempt));
    const race = await raceToConnect(counted, this.#timers, deadline.signal);
    if (race.kind === 'stopped') return deadline.failed(asked);
    if (race.kind === 'connected') return race;
    return this.#allFailed(asked, race.errors);
  }

  #allFailed(asked: string, errors: readonly unknown[]): DialFailure {
    for (const error of errors) this.#descriptors.note(error);
    return failed(dialReason(errors), `${asked}: ${[...new Set(errors.map(failureText))].join(', ')}`);
  }

  /** Waits for a place among the dials in progress. @returns undefined, or why there was no place */
  async #turn(asked: string, signal: AbortSignal | undefined): Promise<DialFailure | undefined> {
    const waitMs = this.#timeoutMs + TURN_GRACE_MS;
    const deadline = new Deadline(this.#timers, waitMs, signal, this.#isQueueMoving());
    try {
      if (await this.#places.enter(asked, deadline.signal)) return undefined;
    } finally {
      deadline.end();
    }
    if (signal?.aborted) return deadline.failed(asked);
    const why = deadline.signal.aborted
      ? `no turn in the dial queue, because no other dial ended for ${waitMs / 1000} s or the wait took ${MAX_TURN_MS / 1000} s`
      : 'no room in the dial queue';
    const dials = `${this.#places.active} of ${this.#maxDials} dials in progress`;
    return failed('limit', `${asked}: ${why}: ${dials} (--max-dials; at most half to one target)`);
  }

  /** Returns a test for one wait: dials have ended since it was last asked, and the wait is not too long. */
  #isQueueMoving(): () => boolean {
    const beginMs = this.#timers.nowMs();
    let { left } = this.#places;
    return () => {
      const isMoving = this.#places.left > left && this.#timers.nowMs() - beginMs < MAX_TURN_MS;
      left = this.#places.left;
      return isMoving;
    };
  }

  async #addresses(host: Host, signal: AbortSignal): Promise<readonly IpAddress[]> {
    if (host.kind === 'address') return [host.address];
    const found = isLocalhostName(host.name) ? ['127.0.0.1', '::1'] : await this.#resolve(host.name, signal);
    // Skip addresses that the rules cannot express, such as scoped ones.
    return found.map(parseAddress).filter((address) => address !== undefined);
  }
}

/** Makes a plain TCP connection with {@link TCP_OPTIONS}. */
export const connectTo: Connect = (address, port) =>
  connectSocket({ host: address.text, port, ...TCP_OPTIONS });

/** Stops a dial when its time is up or the caller cancels it, whichever comes first. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  readonly #timer: Timer;
  readonly #stopListening: () => void;
  #timedOut = false;

  /** @param goesOn called when the time is up; returning true starts the time again */
  constructor(
    timers: Timers,
    timeoutMs: number,
    cancel: AbortSignal | undefined,
    goesOn: () => boolean = () => false,
  ) {
    this.#timeoutMs = timeoutMs;
    this.#timer = new Timer(timers);
    const wait = (): void =>
      this.#timer.set(timeoutMs, () => {
        if (goesOn()) {
          wait();
          return;
        }
        this.#timedOut = true;
        this.#controller.abort();
      });
    wait();
    this.#stopListening = onAbort(cancel, () => this.#controller.abort());
    if (isAborted(cancel)) this.#controller.abort();
  }

  /** Aborted when the dial has to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** True when the caller no longer wants the dial. */
  get isCancelled(): boolean {
    return this.#controller.signal.aborted && !this.#timedOut;
  }

  /** Returns why the dial has stopped. */
  failed(asked: string): DialFailure {
    if (!this.#timedOut) return failed('cancelled', `${asked}: no longer wanted`);
    return failed('timeout', `${asked}: no answer within ${this.#timeoutMs / 1000} s`);
  }

  /** Stops watching the time and the caller's signal. */
  end(): void {
    this.#timer.clear();
    this.#stopListening();
  }
}

/**
 * The one answer for every name that leads to nothing that the rules open, whether it exists or not. It comes no sooner
 * than {@link QUIET_DENIAL_MS} after the look-up has begun.
 */
class QuietDenial {
  readonly #deadline: Deadline;
  readonly #answer: DialFailure;
  readonly #timer: Timer;
  readonly #due: Promise<void>;

  constructor(timers: Timers, deadline: Deadline, answer: DialFailure) {
    this.#deadline = deadline;
    this.#answer = answer;
    this.#timer = new Timer(timers);
    this.#due = new Promise((resolve) => this.#timer.set(QUIET_DENIAL_MS, resolve));
  }

  async denial(asked: string): Promise<DialFailure> {
    const { signal } = this.#deadline;
    // A deadline that has passed is long after the answer was due.
    await withDeadline(this.#due, { signal }).catch(() => {});
    return this.#deadline.isCancelled ? this.#deadline.failed(asked) : this.#answer;
  }

  end(): void {
    this.#timer.clear();
  }
}

const LEADS_TO_SPECIAL =
  "leads only to special addresses (loopback, link-local, a cloud's metadata), which a rule for the name does not open; the listener's owner can allow one with --expose ADDRESS:";

function failed(reason: Reason, text: string): DialFailure {
  return { kind: 'failed', reason, text };
}

function exposeHint(rule: string): string {
  return `the listener's owner can allow it with --expose ${ruleForAll(rule)}`;
}
