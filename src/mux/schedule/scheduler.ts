import { Lane, LaneTicket } from './lane.js';

/** Whoever has frames to send: a stream, or the session itself. */
export interface Source {
  /** Its place in the control lane, and in one of the data lanes. */
  readonly control: LaneTicket<Source>;
  readonly data: LaneTicket<Source>;
  /** Bytes it may still send in this round; kept by the scheduler. */
  deficitBytes: number;

  /** Sends one control frame. False when the sink refused. */
  sendControl(): boolean;
  readonly hasControl: boolean;
  /** Sends one frame of data. @returns its bytes; 0 when the sink refused */
  sendData(urgent: boolean): number;
  readonly hasData: boolean;
  /** Little data, and little before it: it may overtake. */
  readonly isInteractive: boolean;
}

/** Tickets for a new source. */
export function tickets(source: Source): Pick<Source, 'control' | 'data'> {
  return { control: new LaneTicket(source), data: new LaneTicket(source) };
}

/** What each stream with much data may send before it is the next one's turn: six full frames. */
export const QUANTUM_BYTES = 8 * 1024;

/**
 * Who sends next: control frames, then interactive data, both urgent; then all other data in
 * turn, by bytes (deficit round robin, Shreedhar and Varghese 1995).
 */
export class Scheduler {
  readonly #control = new Lane<Source>();
  readonly #interactive = new Lane<Source>();
  readonly #bulk = new Lane<Source>();
  #refusedUrgent: boolean;
  #refusedBulk = false;

  /** @param open false: nothing is sent before the first {@link writable} */
  constructor(open: boolean) {
    this.#refusedUrgent = !open;
  }

  controlDue(source: Source): void {
    this.#control.enter(source.control);
  }

  /** The source has data that it may send; it need not be told again until it has none. */
  dataDue(source: Source): void {
    if (source.data.lane !== undefined) return;
    (source.isInteractive ? this.#interactive : this.#bulk).enter(source.data);
  }

  /** The source is gone. */
  forget(source: Source): void {
    source.control.lane?.leave(source.control);
    source.data.lane?.leave(source.data);
  }

  /** The sink has room again. */
  writable(): void {
    this.#refusedUrgent = false;
    this.#refusedBulk = false;
  }

  /** Sends until nothing is due or the sink refuses. */
  run(): void {
    do {
      this.#runControl();
      this.#runInteractive();
      this.#runBulk();
      // A stream that ended has made another's control frame due.
    } while (this.#control.first !== undefined && !this.#refusedUrgent);
  }

  #runControl(): void {
    let source = this.#control.first;
    while (source !== undefined && !this.#refusedUrgent) {
      if (source.hasControl && !source.sendControl()) {
        this.#refusedUrgent = true;
        return;
      }
      // A source with more goes to the end, so that no one's control frames wait for another's.
      this.#control.leave(source.control);
      if (source.hasControl) this.#control.enter(source.control);
      source = this.#control.first;
    }
  }

  #runInteractive(): void {
    let source = this.#interactive.first;
    while (source !== undefined && !this.#refusedUrgent) {
      if (source.hasData && !source.isInteractive) {
        this.#bulk.enter(source.data);
      } else if (source.hasData) {
        if (source.sendData(true) === 0) {
          this.#refusedUrgent = true;
          return;
        }
      } else {
        this.#interactive.leave(source.data);
      }
      source = this.#interactive.first;
    }
  }

  #runBulk(): void {
    let source = this.#bulk.first;
    while (source !== undefined && !this.#refusedUrgent && !this.#refusedBulk) {
      if (source.deficitBytes <= 0) source.deficitBytes += QUANTUM_BYTES;
      while (source.hasData && source.deficitBytes > 0) {
        const bytes = source.sendData(false);
        if (bytes === 0) {
          this.#refusedBulk = true;
          return;
        }
        source.deficitBytes -= bytes;
      }
      this.#bulk.leave(source.data);
      if (source.hasData) this.#bulk.enter(source.data);
      else source.deficitBytes = 0;
      source = this.#bulk.first;
    }
  }
}
