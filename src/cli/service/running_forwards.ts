import { EventEmitter } from 'node:events';
import type { Reverse } from '../../index.js';
import { isFinalRefusal } from '../../mux/wire/reasons.js';
import { type Endpoint, printEndpoint } from '../../rules/endpoint.js';
import {
  DEFAULT_BIND_HOST,
  type LocalSpec,
  printBind,
  type ReverseSpec,
  type UdpSpec,
} from '../../rules/forward_spec.js';
import type { ConnectorHandle, Forward, ProxyOptions } from '../api.js';
import { usage } from '../options/flags.js';

/** `-L`, `-D`, `-R`, `--udp-forward`. */
export type ForwardKind = 'local' | 'dynamic' | 'reverse' | 'udp';

/** A forward of a running connector, as it is shown. */
export interface RunningForward {
  readonly kind: ForwardKind;
  /** `host:port` or path where it listens; of a reverse forward where the listener does, or shall. */
  readonly listen: string;
  /** `host:port` or path that is dialled; `*` of a proxy. */
  readonly target: string;
  /** asked: the listener has not said that it listens. refused: it does not. */
  readonly status: 'open' | 'asked' | 'refused';
  /** Why it was refused. */
  readonly message?: string | undefined;
}

/** Why the listener does not listen. */
export interface PortRefusal {
  readonly message: string;
  /** Nothing but another session may overcome it. */
  readonly isFinal: boolean;
}

/** One of {@link RunningForwards}. */
export interface HeldForward {
  readonly now: RunningForward;
  /** Undefined while it is open, or nothing was said. */
  readonly refusal: PortRefusal | undefined;
  /** Ends it; open connections go on. */
  remove(): void;
}

/** The forwards of a connector, which come and go while it runs. `change` tells that one of them may be in another state. */
export class RunningForwards extends EventEmitter<{ change: [] }> {
  readonly #connector: ConnectorHandle;
  readonly #entries = new Set<Entry>();

  constructor(connector: ConnectorHandle) {
    super();
    this.#connector = connector;
    connector.on('reverse', () => {
      for (const entry of this.#entries) entry.forgetRefusal();
      this.emit('change');
    });
    connector.on('refused', ({ target, reason, text }) => {
      const refusal = { message: text, isFinal: isFinalRefusal(reason) };
      for (const entry of this.#entries) if (target === `-R ${entry.asked}`) entry.refuse(refusal);
      this.emit('change');
    });
  }

  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  async addLocal(spec: LocalSpec): Promise<HeldForward> {
    return this.#add('local', spec.bind, await this.#connector.forward(spec));
  }

  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  async addDynamic(options: ProxyOptions): Promise<HeldForward> {
    return this.#add('dynamic', options.bind, await this.#connector.dynamic(options));
  }

  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  async addUdp(spec: UdpSpec): Promise<HeldForward> {
    return this.#add('udp', spec.bind, await this.#connector.udpForward(spec));
  }

  /** Only asks the listener; the answer shows in what is returned. @throws {TunnelError} ERR_USAGE when it was asked for already */
  addReverse(spec: ReverseSpec): HeldForward {
    const asked = printBind(spec.bind);
    const isTaken = [...this.#entries].some((entry) => entry.now.kind === 'reverse' && entry.asked === asked);
    if (isTaken && spec.bind.port !== 0)
      throw usage(`-R ${asked} is asked for already; remove that one first, or choose another port`);
    return this.#add('reverse', spec.bind, this.#connector.reverse(spec));
  }

  list(): RunningForward[] {
    return [...this.#entries].map(({ now }) => now);
  }

  /** Of the first reverse forward that the listener does not listen for. */
  get refusal(): PortRefusal | undefined {
    for (const { refusal } of this.#entries) if (refusal !== undefined) return refusal;
    return undefined;
  }

  /** Whether all of them listen. */
  get isUp(): boolean {
    return this.list().every(({ status }) => status === 'open');
  }

  /**
   * Ends the forwards of that kind at that place, be it the one that was asked for or where it listens really.
   *
   * @param listen as {@link printBind} has it @param target of those with this target alone; undefined: any
   * @returns those that were ended
   */
  remove(kind: ForwardKind, listen: string, target?: string): RunningForward[] {
    return [...this.#entries].flatMap((entry) => {
      const { now } = entry;
      const isMeant = now.kind === kind && (listen === entry.asked || listen === placeOf(now));
      if (!isMeant || (target !== undefined && target !== now.target)) return [];
      entry.remove();
      return [now];
    });
  }

  #add(kind: ForwardKind, bind: Endpoint, handle: Forward | Reverse): HeldForward {
    const entry: Entry = new Entry(kind, bind, handle, () => {
      this.#entries.delete(entry);
      this.emit('change');
    });
    this.#entries.add(entry);
    return entry;
  }
}

/** Where a forward listens, as `-L`, `-D` and `-R` have it: of loopback the port alone. */
export function placeOf({ listen }: RunningForward): string {
  const loopback = `${DEFAULT_BIND_HOST}:`;
  return listen.startsWith(loopback) ? listen.slice(loopback.length) : listen;
}

class Entry implements HeldForward {
  /** Where it was asked for, `8080`, `[::1]:0` or a path. */
  readonly asked: string;
  readonly #bind: Endpoint;
  readonly #kind: ForwardKind;
  readonly #handle: Forward | Reverse;
  readonly #onRemoved: () => void;
  #refusal: PortRefusal | undefined;

  constructor(kind: ForwardKind, bind: Endpoint, handle: Forward | Reverse, onRemoved: () => void) {
    this.#kind = kind;
    this.#bind = bind;
    this.asked = printBind(bind);
    this.#handle = handle;
    this.#onRemoved = onRemoved;
  }

  get now(): RunningForward {
    const { target } = this.#handle;
    const kind = this.#kind;
    const listen = 'local' in this.#handle ? this.#handle.local : this.#handle.remote;
    if (listen !== undefined) return { kind, listen, target, status: 'open' };
    const wish = { kind, listen: printEndpoint(this.#bind), target };
    if (this.#refusal === undefined) return { ...wish, status: 'asked' };
    return { ...wish, status: 'refused', message: this.#refusal.message };
  }

  get refusal(): PortRefusal | undefined {
    return this.now.status === 'refused' ? this.#refusal : undefined;
  }

  refuse(refusal: PortRefusal): void {
    if (this.#kind === 'reverse') this.#refusal = refusal;
  }

  /** What was said before it was open is over. */
  forgetRefusal(): void {
    if (this.now.status === 'open') this.#refusal = undefined;
  }

  remove(): void {
    this.#handle.close();
    this.#onRemoved();
  }
}
