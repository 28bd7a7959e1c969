import { EventEmitter } from 'node:events';
import { TunnelError } from '../../core/errors.js';
import { type ListenRequest, listenError } from '../../forward/listen.js';
import { isFinalRefusal } from '../../mux/wire/reasons.js';
import { type Endpoint, isPath, printEndpoint, type SocketPath } from '../../rules/endpoint.js';
import {
  type Bind,
  type LocalSpec,
  printBind,
  type ReverseSpec,
  type UdpSpec,
} from '../../rules/forward_spec.js';
import { usage } from '../options/usage.js';
import type { ForwardKind } from '../output/events.js';
import { placeOf, printForward, type RunningForward } from '../output/forward_text.js';
import type { ConnectorHandle, ForwardHandle, ProxyOptions, ReverseHandle } from '../process/library.js';

/** Why the listener refused a reverse forward. */
export interface PortRefusal {
  readonly message: string;
  /** Only a new session can change the answer. */
  readonly isFinal: boolean;
}

/** One forward of {@link RunningForwards}. */
export interface HeldForward {
  readonly now: RunningForward;
  /** Undefined while the forward is open, and until the listener has answered. */
  readonly refusal: PortRefusal | undefined;
  /** Stops accepting connections; open connections continue. @returns false when it was removed already */
  remove(): boolean;
}

/** Names the option in the error of a port that cannot be opened: the library knows none. */
async function named(
  asked: Omit<ListenRequest, 'bind'> & { readonly bind: Endpoint },
  opened: Promise<ForwardHandle>,
): Promise<ForwardHandle> {
  try {
    return await opened;
  } catch (error) {
    const { bind } = asked;
    if (!TunnelError.is(error) || error.code !== 'ERR_LISTEN' || error.cause === undefined) throw error;
    throw isPath(bind) ? error : listenError({ ...asked, bind }, error.cause);
  }
}

/** The forwards of a running connector. `change` is emitted when the state of a forward may have changed. */
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
    connector.on('refused', ({ kind, target, reason, text }) => {
      if (kind !== 'reverse') return;
      const refusal = { message: text, isFinal: isFinalRefusal(reason) };
      for (const entry of this.#entries) if (target === entry.asked) entry.refuse(refusal);
      this.emit('change');
    });
  }

  /**
   * @param option the option that named the port, which the error advises to change
   * @throws {TunnelError} ERR_LISTEN, with the system's error as its cause
   */
  async addLocal(spec: LocalSpec, option: '-L' | '-p' = '-L'): Promise<HeldForward> {
    const { bind, target } = spec;
    this.#expectFree('local', bind);
    const asked = { bind, option, ...(option === '-L' && { target }) };
    return this.#add('local', bind, await named(asked, this.#connector.forward(spec)));
  }

  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  async addDynamic(options: ProxyOptions): Promise<HeldForward> {
    const { bind } = options;
    this.#expectFree('dynamic', bind);
    return this.#add('dynamic', bind, await named({ bind, option: '-D' }, this.#connector.dynamic(options)));
  }

  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  async addUdp(spec: UdpSpec): Promise<HeldForward> {
    this.#expectFree('udp', spec.bind);
    const asked = { ...spec, option: '--udp-forward' };
    return this.#add('udp', spec.bind, await named(asked, this.#connector.udpForward(spec)));
  }

  /**
   * Asks the listener to open a port. The returned forward shows the answer later.
   *
   * @throws {TunnelError} ERR_USAGE when the port was requested already
   */
  addReverse(spec: ReverseSpec): HeldForward {
    const asked = printBind(spec.bind);
    const isTaken = [...this.#entries].some((entry) => entry.now.kind === 'reverse' && entry.asked === asked);
    if (isTaken && spec.bind.port !== 0)
      throw usage(`there is already a forward -R ${asked}; remove it first, or choose another port`);
    return this.#add('reverse', spec.bind, this.#connector.reverse(spec));
  }

  list(): RunningForward[] {
    return [...this.#entries].map(({ now }) => now);
  }

  /** The listener's refusal of the first reverse forward that it refused. */
  get refusal(): PortRefusal | undefined {
    for (const { refusal } of this.#entries) if (refusal !== undefined) return refusal;
    return undefined;
  }

  /** True when all forwards listen. */
  get isUp(): boolean {
    return this.list().every(({ status }) => status === 'open');
  }

  /**
   * Ends the forwards of a kind at a place: the requested place, or the actual one.
   *
   * @param listen in the form of {@link printBind}
   * @param target ends only forwards to this target; undefined: any target
   * @returns the forwards that were ended
   */
  remove(kind: ForwardKind, listen: string, target?: string): RunningForward[] {
    return [...this.#entries].flatMap((entry) => {
      const { now } = entry;
      const isMeant =
        now.kind === kind && (listen === entry.asked || [placeOf(now), now.listen].includes(listen));
      if (!isMeant || (target !== undefined && target !== now.target)) return [];
      entry.remove();
      return [now];
    });
  }

  /** Rejects an address that a forward of this process has; the system's error would suggest another program. */
  #expectFree(kind: ForwardKind, bind: Endpoint): void {
    const wanted = printEndpoint(bind);
    const isUdp = kind === 'udp';
    for (const { now } of this.#entries) {
      if (now.kind === 'reverse' || now.listen !== wanted || (now.kind === 'udp') !== isUdp) continue;
      throw usage(`there is already a forward ${printForward(now)}; remove it first, or choose another port`);
    }
  }

  #add(kind: ForwardKind, bind: Bind | SocketPath, handle: ForwardHandle | ReverseHandle): HeldForward {
    const entry: Entry = new Entry(kind, bind, handle, () => {
      const wasThere = this.#entries.delete(entry);
      this.emit('change');
      return wasThere;
    });
    this.#entries.add(entry);
    return entry;
  }
}

class Entry implements HeldForward {
  /** The requested place: `8080`, `[::1]:0` or a path. */
  readonly asked: string;
  readonly #bind: Bind | SocketPath;
  readonly #kind: ForwardKind;
  readonly #handle: ForwardHandle | ReverseHandle;
  readonly #onRemoved: () => boolean;
  #refusal: PortRefusal | undefined;

  constructor(
    kind: ForwardKind,
    bind: Bind | SocketPath,
    handle: ForwardHandle | ReverseHandle,
    onRemoved: () => boolean,
  ) {
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

  /** Forgets a refusal from before the port was open. */
  forgetRefusal(): void {
    if (this.now.status === 'open') this.#refusal = undefined;
  }

  remove(): boolean {
    if (!this.#onRemoved()) return false;
    this.#handle.close();
    return true;
  }
}
