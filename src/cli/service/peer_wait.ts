import { Timer, type Timers } from '../../core/clock.js';
import { humanDuration, printable } from '../output/human.js';
import { isJoined } from '../output/peer_rows.js';
import { PROGRAM, type Reporter } from '../output/reporter.js';
import type { ConnectorHandle } from '../process/library.js';

/** How often the live line of a terminal changes, in milliseconds. */
const REDRAW_MS = 1_000;
/** Without a terminal: when a wait gets a line of its own, and how often the line is repeated. */
const FIRST_LINE_MS = 5_000;
const NEXT_LINE_MS = 10 * 60_000;
/** When to say what to check: most peers are found within 10 s. */
const ADVICE_MS = 30_000;

export interface PeerWaitOptions {
  readonly connector: Pick<ConnectorHandle, 'peers' | 'node' | 'on' | 'off'>;
  /** The name of the listener; undefined when it has none here. */
  readonly name: string | undefined;
  readonly timers: Timers;
  readonly reporter: Pick<Reporter, 'isLive' | 'status' | 'notice'>;
  /** Ends once the listener is online for the first time: from then on the terminal belongs to others. */
  readonly isOnce: boolean;
}

/**
 * Tells people that a connector waits for its listener, for how long, and after a while what to check: in the live
 * line of a terminal, or in a few plain lines.
 */
export class PeerWait {
  readonly #options: PeerWaitOptions;
  readonly #timer: Timer;
  #sinceMs: number;
  /** When the next plain line is due, counted from the start of the wait. */
  #nextLineMs = FIRST_LINE_MS;
  #isAdvised = false;
  /** Whether the listener was online before. */
  #isBack = false;

  constructor(options: PeerWaitOptions) {
    this.#options = options;
    this.#timer = new Timer(options.timers);
    this.#sinceMs = options.timers.nowMs();
    options.connector.on('peer', this.#onPeer);
    if (!options.connector.peers().some(({ status }) => status === 'online')) this.#next();
  }

  /** True while the listener is offline and the wait occupies the live line. */
  get isWaiting(): boolean {
    return this.#timer.isSet;
  }

  stop(): void {
    this.#options.connector.off('peer', this.#onPeer);
    this.#settle();
  }

  readonly #onPeer = ({ status }: { readonly status: 'online' | 'offline' }): void => {
    if (status === 'online') {
      this.#isBack = true;
      if (this.#options.isOnce) this.stop();
      else this.#settle();
    } else if (!this.isWaiting) {
      this.#sinceMs = this.#options.timers.nowMs();
      this.#nextLineMs = FIRST_LINE_MS;
      this.#isAdvised = false;
      this.#next();
    }
  };

  #settle(): void {
    if (!this.isWaiting) return;
    this.#timer.clear();
    this.#options.reporter.status('');
  }

  /** Waits for the next change in what people see. */
  #next(): void {
    const due = Math.min(this.#nextLineMs, this.#isAdvised ? Number.POSITIVE_INFINITY : ADVICE_MS);
    const { reporter, timers } = this.#options;
    const delayMs = reporter.isLive ? REDRAW_MS : Math.max(0, due - (timers.nowMs() - this.#sinceMs));
    this.#timer.set(delayMs, () => {
      this.#tell(timers.nowMs() - this.#sinceMs);
      this.#next();
    });
  }

  #tell(waitedMs: number): void {
    const { reporter } = this.#options;
    if (!this.#isAdvised && waitedMs >= ADVICE_MS) {
      this.#isAdvised = true;
      this.#nextLineMs = NEXT_LINE_MS;
      reporter.notice(this.#advice(waitedMs));
    } else if (!reporter.isLive && waitedMs >= this.#nextLineMs) {
      this.#nextLineMs += waitedMs < ADVICE_MS ? NEXT_LINE_MS - FIRST_LINE_MS : NEXT_LINE_MS;
      const text = this.#text(waitedMs);
      reporter.notice(`${text.charAt(0).toUpperCase()}${text.slice(1)}`);
    }
    reporter.status(this.#text(waitedMs));
  }

  get #who(): string {
    return printable(this.#options.name ?? 'the listener');
  }

  get #isJoined(): boolean {
    const { connector } = this.#options;
    return isJoined(connector.node.path, connector.peers());
  }

  /** `waiting for home to come online (12 s)...` */
  #text(waitedMs: number): string {
    const waited = humanDuration(Math.max(REDRAW_MS, waitedMs));
    if (!this.#isJoined) return `joining the Tox network (${waited})...`;
    return `waiting for ${this.#who} to come ${this.#isBack ? 'back ' : ''}online (${waited})...`;
  }

  #advice(waitedMs: number): string {
    const waited = humanDuration(waitedMs);
    if (!this.#isJoined)
      return `This machine has not joined the Tox network within ${waited}. Check its internet connection; ${PROGRAM} doctor finds out what is wrong.`;
    const named = this.#options.name === undefined ? 'TICKET' : printable(this.#options.name);
    return `${capital(this.#who)} is not online after ${waited}. Check on its machine that ${PROGRAM} runs and has printed "Joined the Tox network", and that the ticket is still valid (${PROGRAM} ticket list). ${PROGRAM} doctor ${named} checks the network from here.`;
  }
}

const capital = (text: string): string => (text.startsWith('the ') ? `The ${text.slice(4)}` : text);
