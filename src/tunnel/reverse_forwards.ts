import { inspect } from 'node:util';
import type { Timers } from '../core/clock.js';
import type { DescriptorShare } from '../core/descriptors.js';
import type { Logger } from '../core/logger.js';
import type { Limits } from '../core/peer_limits.js';
import { TargetServer } from '../forward/exit/target_server.js';
import { ReverseForward } from '../forward/reverse/reverse_forward.js';
import { DenialLog } from '../forward/serve_log.js';
import type { Connect } from '../forward/tcp_socket.js';
import type { OpenRequest, StreamOpener } from '../mux/stream/stream_api.js';
import { REASONS } from '../mux/wire/reasons.js';
import type { TargetRules } from '../rules/allow.js';
import { printEndpoint, printHostPort, targetOf } from '../rules/endpoint.js';
import { printBind, type ReverseSpec } from '../rules/forward_spec.js';
import { Closables } from './closables.js';
import type { Refusal, ReverseChange } from './events.js';

/** A port at the far end that is forwarded to this end. */
export interface Reverse {
  /** `host:port` on which the far end listens; undefined while it does not. */
  readonly remote: string | undefined;
  /** `host:port` or path that this end dials. */
  readonly target: string;
  /** Closes the port. Open connections continue. */
  close(): void;
}

interface CustomInspectable {
  [inspect.custom](depth: number, options: object): string;
}

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
  readonly #forwards = new Closables<ReverseForward>();
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
    const forward = new ReverseForward({ spec, timers: this.#options.timers });
    const target = printEndpoint(spec.target);
    const { peer, onChange, onRefused } = this.#options;
    for (const status of ['open', 'closed'] as const) {
      forward.on(status, (remote) => onChange({ status, listen: printHostPort(remote), target, peer }));
    }
    forward.on('refused', (reason, text, again) => {
      const why = text === '' ? REASONS[reason].sentence : text;
      const next = again ? '; asking again' : '';
      onRefused({ target: `-R ${printBind(spec.bind)}`, reason, text: `${why}${next}`, peer });
    });
    const close = this.#forwards.add(forward, signal);
    // Later, so that the caller can listen to the events first.
    setImmediate(() => forward.setSession(this.#session));
    const reverse: Reverse & CustomInspectable = {
      get remote() {
        return forward.remote && printHostPort(forward.remote);
      },
      target,
      close,
      [inspect.custom](_depth: number, options: object) {
        return `Reverse ${inspect({ remote: this.remote, target }, options)}`;
      },
    };
    return reverse;
  }

  setSession(session: StreamOpener | undefined): void {
    this.#session = session;
    for (const forward of this.#forwards) forward.setSession(session);
  }

  /** Answers the listener's requests: only connections to a port that this connector asked for. */
  handle(request: OpenRequest): void {
    if (request.target.kind !== 'accepted') {
      request.refuse('not-allowed', 'this end opens no targets');
      return;
    }
    for (const forward of this.#forwards) {
      if (!forward.owns(request)) continue;
      this.#server.handle(request, targetOf(forward.spec.target));
      return;
    }
    this.#denials.denied('the listener offered a connection to a port that was not requested', {
      peer: this.#options.peer,
    });
    request.refuse('not-allowed', 'no such port was requested');
  }

  close(): void {
    this.#server.close();
    this.#forwards.closeAll();
  }
}
