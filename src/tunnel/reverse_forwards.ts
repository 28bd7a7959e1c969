import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { throwIfAborted, withDeadline } from '../core/aborting.js';
import type { Timers } from '../core/clock.js';
import type { DescriptorShare } from '../core/descriptors.js';
import { isolated, TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { Limits } from '../core/peer_limits.js';
import { TargetServer } from '../forward/exit/target_server.js';
import { ReverseForward } from '../forward/reverse/reverse_forward.js';
import { DenialLog } from '../forward/serve_log.js';
import type { Connect } from '../forward/tcp_socket.js';
import type { OpenRequest, StreamOpener } from '../mux/stream/stream_api.js';
import { type Reason, sentenceOf } from '../mux/wire/reasons.js';
import type { TargetRules } from '../rules/allow.js';
import { printEndpoint, printHostPort, targetOf } from '../rules/endpoint.js';
import { printBind, type ReverseSpec } from '../rules/forward_spec.js';
import { Closables } from './closables.js';
import type { Refusal, ReverseChange } from './events.js';
import type { Abortable } from './options.js';
import { signalOf } from './read_options.js';

export interface ReverseEvents {
  /** The far end listens, for the first time or again. @param remote its `host:port` */
  listening: [remote: string];
  /** The far end no longer listens: it is away, or has closed the port. This end asks again. */
  lost: [remote: string];
  /** The far end has accepted a connection. This end dials the target for it. */
  connection: [];
  /** The far end does not listen, and says why. The tunnel emits it too. */
  refused: [refusal: Refusal];
  close: [];
}

/** A port at the far end that is forwarded to this end. Modelled on `net.Server`. */
export class Reverse extends EventEmitter<ReverseEvents> {
  /** `host:port` or path that this end dials. */
  readonly target: string;
  readonly #forward: ReverseForward;
  readonly #peer: string;
  readonly #waiting = new Set<(error: TunnelError | undefined) => void>();
  /** The last refusal after which this end does not ask again in the same session. */
  #refused: TunnelError | undefined;
  #isClosed = false;

  constructor(forward: ReverseForward, peer: string) {
    super();
    this.#forward = forward;
    this.#peer = peer;
    this.target = printEndpoint(forward.spec.target);
    forward.on('open', (remote) => {
      this.#refused = undefined;
      isolated(() => this.emit('listening', printHostPort(remote)));
      this.#tell(undefined);
    });
    forward.on('closed', (remote) => isolated(() => this.emit('lost', printHostPort(remote))));
    forward.on('refused', (reason, text, again) => this.#onRefused(reason, text, again));
  }

  /** `host:port` on which the far end listens; undefined while it does not. */
  get remote(): string | undefined {
    const { remote } = this.#forward;
    return remote && printHostPort(remote);
  }

  /**
   * Resolves when the far end listens, with its `host:port`; at once when it does. Waits for a far end that is away.
   *
   * @throws {TunnelError} ERR_OPEN_REFUSED when the far end refuses for good; ERR_ABORTED; ERR_CLOSED;
   *   ERR_ARGUMENT_INVALID
   */
  async listening(options: Abortable = {}): Promise<string> {
    const signal = signalOf(options, 'listening()');
    throwIfAborted(signal);
    for (;;) {
      const { remote } = this;
      if (remote !== undefined) return remote;
      if (this.#isClosed) throw closedReverse();
      // A refusal counts until the next session, in which this end asks again.
      if (this.#refused !== undefined && !this.#forward.isAsked) throw this.#refused;
      let stopWaiting = (): void => {};
      const changed = new Promise<void>((resolve, reject) => {
        const done = (error: TunnelError | undefined): void =>
          error === undefined ? resolve() : reject(error);
        this.#waiting.add(done);
        stopWaiting = () => this.#waiting.delete(done);
      });
      await withDeadline(changed, { signal }).finally(stopWaiting);
    }
  }

  /** Has the far end close the port. Open connections continue. Never rejects; safe to call twice. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forward.close();
    this.#tell(closedReverse());
    isolated(() => this.emit('close'));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What `console.log` shows. */
  [inspect.custom](_depth: number, options: object): string {
    const { remote, target } = this;
    return `Reverse ${inspect({ remote, target }, options)}`;
  }

  #onRefused(reason: Reason, text: string, again: boolean): void {
    const why = sentenceOf(reason, text);
    const target = printBind(this.#forward.spec.bind);
    const next = again ? '; asking again' : '';
    const refusal = { kind: 'reverse', target, reason, text: `${why}${next}`, peer: this.#peer } as const;
    isolated(() => this.emit('refused', refusal));
    if (again) return;
    this.#refused = new TunnelError('ERR_OPEN_REFUSED', why, { remote: true });
    this.#tell(this.#refused);
  }

  #tell(error: TunnelError | undefined): void {
    for (const done of this.#waiting) done(error);
  }
}

const closedReverse = (): TunnelError =>
  new TunnelError('ERR_CLOSED', 'this reverse forward is closed; add another');

export interface ReverseForwardsOptions {
  /** The listener's public key. */
  readonly peer: string;
  readonly timers: Timers;
  readonly connect?: Connect | undefined;
  readonly logger: Logger;
  readonly limits: Limits;
  /** File descriptors for connections to targets. */
  readonly descriptors: DescriptorShare;
  readonly onChange: (change: ReverseChange) => void;
  readonly onRefused: (refusal: Refusal) => void;
}

/** Our own user names the target, so no rule is needed. */
const NAMED_BY_US: TargetRules = {
  mayPermit: () => true,
  mayTell: () => true,
  permits: () => true,
  permitsPath: () => true,
  permitsName: () => false,
};

/** A connector's reverse forwards. Their streams are the only ones that its listener may open. */
export class ReverseForwards {
  readonly #options: ReverseForwardsOptions;
  readonly #forwards = new Map<ReverseForward, Reverse>();
  readonly #open = new Closables<Reverse>();
  readonly #server: TargetServer;
  readonly #denials: DenialLog;
  #session: StreamOpener | undefined;

  constructor(options: ReverseForwardsOptions) {
    this.#options = options;
    const { peer, timers, connect, logger, limits, descriptors } = options;
    this.#denials = new DenialLog(logger);
    this.#server = new TargetServer({
      peer,
      timers,
      connect,
      logger,
      rules: NAMED_BY_US,
      maxDials: limits.maxDials,
      udpIdleMs: limits.udpIdleMs,
      descriptors,
    });
  }

  /** Adds a reverse forward. @param signal closes it when aborted */
  add(spec: ReverseSpec, signal?: AbortSignal): Reverse {
    const { peer, onChange, onRefused, timers } = this.#options;
    const forward = new ReverseForward({ spec, timers });
    const reverse = new Reverse(forward, peer);
    const { target } = reverse;
    reverse.on('listening', (listen) => onChange({ status: 'open', listen, target, peer }));
    reverse.on('lost', (listen) => onChange({ status: 'closed', listen, target, peer }));
    reverse.on('refused', onRefused);
    this.#forwards.set(forward, reverse);
    const forget = this.#open.add(reverse, signal);
    reverse.once('close', () => {
      forget();
      this.#forwards.delete(forward);
    });
    // Later, so that the caller can listen to the events first.
    setImmediate(() => forward.setSession(this.#session));
    return reverse;
  }

  setSession(session: StreamOpener | undefined): void {
    this.#session = session;
    for (const forward of this.#forwards.keys()) forward.setSession(session);
  }

  /** Answers the listener's requests: only connections to a port that this connector asked for. */
  handle(request: OpenRequest): void {
    if (request.target.kind !== 'accepted') {
      request.refuse('not-allowed', 'this end opens no targets');
      return;
    }
    for (const [forward, reverse] of this.#forwards) {
      if (!forward.owns(request)) continue;
      this.#server.handle(request, targetOf(forward.spec.target));
      isolated(() => reverse.emit('connection'));
      return;
    }
    this.#denials.denied('the listener offered a connection to a port that was not requested', {
      peer: this.#options.peer,
    });
    request.refuse('not-allowed', 'no such port was requested');
  }

  close(): void {
    this.#server.close();
    this.#open.closeAll();
  }
}
