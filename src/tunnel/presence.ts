import { abortedError, isAborted, onAbort } from '../core/aborting.js';
import { isolated, TunnelError } from '../core/errors.js';
import type { Path } from '../core/tox_network.js';

/** Where a node, a listener or a connector is in its life: `connecting` until it is online for the first time. */
export type State = 'connecting' | 'online' | 'offline' | 'closing' | 'closed';

/** The events of a node, a listener and a connector. Each is emitted once for each change. */
export interface PresenceEvents {
  /** It is online, for the first time or again. */
  online: [info: { readonly path: Path }];
  /** It is no longer online. It tries to get back online, and keeps everything open. */
  offline: [];
  /** It stays online, over another path. */
  path: [info: { readonly path: Path }];
  /** It is closed, and nothing of it is left. The last event. */
  close: [];
  /** It has failed, and closes. Only `offline` and `close` follow. */
  error: [error: TunnelError];
}

/** The events that {@link Presence} reports. The owner emits them. What their handlers throw is an uncaught exception. */
export interface PresenceReports {
  online(path: Path): void;
  offline(): void;
  path(path: Path): void;
  close(): void;
}

/** The state of a node, a listener or a connector, which can be read and waited for. */
export class Presence {
  readonly #name: string;
  readonly #reports: PresenceReports;
  readonly #waiting = new Set<(error: TunnelError | undefined) => void>();
  readonly ended: Promise<TunnelError | undefined>;
  #end: (why: TunnelError | undefined) => void = () => {};
  #state: State = 'connecting';
  #path: Path = 'none';
  #failure: TunnelError | undefined;

  /** @param name for errors, such as `tunnel` */
  constructor(name: string, reports: PresenceReports) {
    this.#name = name;
    this.#reports = reports;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get state(): State {
    return this.#state;
  }

  /** `none` unless the state is `online`. */
  get path(): Path {
    return this.#state === 'online' ? this.#path : 'none';
  }

  get isClosing(): boolean {
    return this.#state === 'closing' || this.#state === 'closed';
  }

  /** Resolves when the state is `online`. @throws {TunnelError} ERR_ABORTED, ERR_CLOSED, or what it failed with */
  online(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error: TunnelError | undefined): void => {
        this.#waiting.delete(done);
        forget();
        if (error === undefined) resolve();
        else reject(error);
      };
      const forget = onAbort(signal, () => done(abortedError(signal, this.#missing())));
      if (isAborted(signal)) done(abortedError(signal, this.#missing()));
      else if (this.isClosing) done(this.#whyClosed());
      else if (this.#state === 'online') done(undefined);
      else this.#waiting.add(done);
    });
  }

  /** @param path none: not online. What closes goes offline, but does not come online. */
  moved(path: Path): void {
    const was = this.#path;
    if (path === was || (this.isClosing && path !== 'none')) return;
    this.#path = path;
    if (!this.isClosing) this.#state = path === 'none' ? 'offline' : 'online';
    isolated(() => {
      if (path === 'none') this.#reports.offline();
      else if (was === 'none') this.#reports.online(path);
      else this.#reports.path(path);
    });
    // A handler of the events may have closed it.
    if (this.#state === 'online') for (const done of this.#waiting) done(undefined);
  }

  /** @param failure undefined when the program closes it */
  closing(failure: TunnelError | undefined): void {
    if (this.isClosing) return;
    this.#state = 'closing';
    this.#failure = failure;
    for (const done of this.#waiting) done(this.#whyClosed());
  }

  closed(): void {
    if (this.#state === 'closed') return;
    this.moved('none');
    this.#state = 'closed';
    this.#end(this.#failure);
    isolated(() => this.#reports.close());
  }

  #missing(): string {
    return this.#name === 'tunnel' ? 'the listener was online' : 'this node was in the network';
  }

  #whyClosed(): TunnelError {
    return this.#failure ?? new TunnelError('ERR_CLOSED', `this ${this.#name} is closed; start a new one`);
  }
}
