import type { Socket as UdpSocket } from 'node:dgram';
import { connect as connectSocket, type Socket } from 'node:net';
import { systemTimers, type Timers } from '../../core/clock.js';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { type Host, LOCALHOST, printHost, readHost } from '../../core/host.js';
import { type IpAddress, parseAddress } from '../../core/ip.js';
import { DIAL_TIMEOUT_MS, MAX_DIALS_PER_PEER } from '../../core/limits.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { TargetRules } from '../../rules/allow.js';
import type { HostPort } from '../../rules/endpoint.js';
import { type Endpoint, foreignPath, isPath, readSocketPath } from '../../rules/endpoint.js';
import type { Protocol } from '../../rules/expose.js';
import { shown } from '../../rules/spec_text.js';
import { TCP_OPTIONS } from '../tcp_options.js';
import { type ConnectUdp, connectUdp } from '../udp_socket.js';
import { DialPlaces } from './dial_places.js';
import { type Attempt, raceToConnect } from './dial_race.js';
import { dialReason, failureText, resolveReason } from './dial_reason.js';
import { type Resolve, systemResolve } from './resolve.js';

/** Why a dial came to nothing. `text` is for people at the far end: it names the target as they did. */
export interface DialFailure {
  readonly kind: 'failed';
  readonly reason: Reason;
  readonly text: string;
}

/** How a dial ended. */
export type DialResult = { readonly kind: 'connected'; readonly socket: Socket } | DialFailure;

/** The same for datagrams; `address` is where they go. */
export type UdpDialResult =
  | { readonly kind: 'connected'; readonly socket: UdpSocket; readonly address: IpAddress }
  | DialFailure;

/** Starts to connect; `connect` or `error` follows. */
export type Connect = (address: IpAddress, port: number) => Socket;

export interface DialerOptions {
  /** Asked when a dial is requested, again after it waited for its turn, and about each address that its name has. */
  readonly rules: TargetRules;
  /** Default: {@link systemResolve}. */
  readonly resolve?: Resolve;
  /** Default: {@link connectTo}. */
  readonly connect?: Connect;
  /** Default: {@link connectUdp}. */
  readonly connectUdp?: ConnectUdp;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
  /** Milliseconds for a dial, the name's resolution counted; as long again it may wait for its turn. Default: {@link DIAL_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
  /** Dials at once, half of them to one target; others wait for their turn. Default: {@link MAX_DIALS_PER_PEER}. */
  readonly maxDials?: number;
  /** What sockets to targets may use. Default: no bound. */
  readonly descriptors?: DescriptorShare;
}

/** Addresses of one name that are tried, best first: each may cost a socket. */
const MAX_ADDRESSES = 8;

/**
 * Dials targets for one peer: the only place where that is done, and the place where the rules
 * are asked, about the very address that is then connected to. A name is resolved once.
 */
export class Dialer {
  readonly #rules: TargetRules;
  readonly #resolve: Resolve;
  readonly #connect: Connect;
  readonly #connectUdp: ConnectUdp;
  readonly #timers: Timers;
  readonly #timeoutMs: number;
  readonly #maxDials: number;
  readonly #descriptors: DescriptorShare;
  readonly #places: DialPlaces;

  constructor(options: DialerOptions) {
    this.#rules = options.rules;
    this.#resolve = options.resolve ?? systemResolve;
    this.#connect = options.connect ?? connectTo;
    this.#connectUdp = options.connectUdp ?? connectUdp;
    this.#timers = options.timers ?? systemTimers;
    this.#timeoutMs = options.timeoutMs ?? DIAL_TIMEOUT_MS;
    this.#maxDials = options.maxDials ?? MAX_DIALS_PER_PEER;
    this.#descriptors = options.descriptors ?? unboundedShare();
    this.#places = new DialPlaces(this.#maxDials);
  }

  /** Dials under way; one that was given up counts until the resolver has answered. */
  get dialing(): number {
    return this.#places.active;
  }

  /**
   * Never rejects. Waits for its turn while too many dials are under way.
   *
   * @param signal gives the dial up, with the reason `cancelled`
   */
  dial(target: Endpoint, signal?: AbortSignal): Promise<DialResult> {
    if (isPath(target)) return this.#dialPath(target.path, signal);
    return this.#dialHost('tcp', target, signal, (asked, addresses, deadline) => {
      const attempts = addresses.map((address) => () => this.#connect(address, target.port));
      return this.#race(asked, attempts, deadline);
    });
  }

  /**
   * A socket for datagrams to the target: nobody is asked there, so of a name's addresses the first is taken to
   * which this machine has a way. Never rejects, and waits for its turn as {@link dial} does.
   *
   * @param signal gives the dial up, with the reason `cancelled`
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
    const hint = `its owner can allow it with --expose ${shown(path)}`;
    const notExposed = failed('not-allowed', `${asked} is not exposed; ${hint}`);
    if (!this.#rules.permitsPath(path)) return notExposed;
    const foreign = foreignPath(path);
    if (foreign !== undefined) return failed('unreachable', `${asked}: ${foreign}`);
    const noTurn = this.#places.tryEnter(asked) ? undefined : await this.#turn(asked, signal);
    if (noTurn !== undefined) return noTurn;
    const deadline = new Deadline(this.#timers, this.#timeoutMs, signal);
    try {
      // The rules may have changed while it waited.
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
    const notExposed = failed('not-allowed', `${asked} is not exposed; ${exposeHint(host, target.port)}`);
    if (!this.#rules.mayPermit(host, target.port, protocol)) return notExposed;
    const noTurn = this.#places.tryEnter(asked) ? undefined : await this.#turn(asked, signal);
    if (noTurn !== undefined) return noTurn;
    // The rules may have changed while it waited.
    if (!this.#rules.mayPermit(host, target.port, protocol)) {
      this.#places.leave(asked);
      return notExposed;
    }

    const deadline = new Deadline(this.#timers, this.#timeoutMs, signal);
    const addresses = this.#addresses(host);
    try {
      const found = await deadline.orStopped(addresses);
      if (found === 'stopped') return deadline.failed(asked);
      if (found.length === 0) return failed('name-not-found', `${asked}: the name has no address`);
      const permitted = found.filter((address) => this.#rules.permits(host, address, target.port, protocol));
      if (permitted.length === 0) return notExposed;
      return await connect(asked, permitted.slice(0, MAX_ADDRESSES), deadline);
    } catch (error) {
      this.#descriptors.note(error);
      return failed(resolveReason(error), `${asked}: ${failureText(error)}`);
    } finally {
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

  /** Waits for a place among the dials under way. @returns why it got none */
  async #turn(asked: string, signal: AbortSignal | undefined): Promise<DialFailure | undefined> {
    const deadline = new Deadline(this.#timers, this.#timeoutMs, signal);
    try {
      if (await this.#places.enter(asked, deadline.signal)) return undefined;
    } finally {
      deadline.end();
    }
    if (signal?.aborted) return deadline.failed(asked);
    const why = deadline.signal.aborted ? `timed out after ${this.#timeoutMs / 1000} s in` : 'no room in';
    const dials = `${this.#places.active} of ${this.#maxDials} dials in progress`;
    return failed(
      'limit',
      `${asked}: ${why} the dial queue: ${dials} (--max-dials; at most half to one target)`,
    );
  }

  async #addresses(host: Host): Promise<readonly IpAddress[]> {
    if (host.kind === 'address') return [host.address];
    const found = host.name === LOCALHOST ? ['127.0.0.1', '::1'] : await this.#resolve(host.name);
    // What is no address in our sense, such as one with a scope, is not dialled.
    return found.map(parseAddress).filter((address) => address !== undefined);
  }
}

/** A plain TCP connection with half-close, without Nagle's delay. */
export const connectTo: Connect = (address, port) =>
  connectSocket({
    host: address.text,
    port,
    ...TCP_OPTIONS,
  });

/** Ends a dial on time, or when it is no longer wanted, whichever comes first. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #timers: Timers;
  readonly #timer: unknown;
  readonly #timeoutMs: number;
  readonly #cancel: AbortSignal | undefined;
  #timedOut = false;

  constructor(timers: Timers, timeoutMs: number, cancel: AbortSignal | undefined) {
    this.#timers = timers;
    this.#timeoutMs = timeoutMs;
    this.#cancel = cancel;
    this.#timer = timers.set(() => {
      this.#timedOut = true;
      this.#stop();
    }, timeoutMs);
    if (cancel?.aborted) this.#stop();
    else cancel?.addEventListener('abort', this.#stop);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  orStopped<T>(work: Promise<T>): Promise<T | 'stopped'> {
    return new Promise((resolve, reject) => {
      if (this.signal.aborted) resolve('stopped');
      this.signal.addEventListener('abort', () => resolve('stopped'));
      work.then(resolve, reject);
    });
  }

  failed(asked: string): DialFailure {
    if (!this.#timedOut) return failed('cancelled', `${asked}: no longer wanted`);
    return failed('timeout', `${asked}: no answer within ${this.#timeoutMs / 1000} s`);
  }

  end(): void {
    this.#timers.clear(this.#timer);
    this.#cancel?.removeEventListener('abort', this.#stop);
  }

  readonly #stop = (): void => this.#controller.abort();
}

function failed(reason: Reason, text: string): DialFailure {
  return { kind: 'failed', reason, text };
}

function exposeHint(host: Host, port: number): string {
  return `its owner can allow it with --expose ${printHost(host)}:${port}`;
}
