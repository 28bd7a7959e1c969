import type { Pace } from './pace.js';

/** A sender of frames: a stream, or the session itself. */
export interface Source {
  /** Kept by the scheduler. */
  readonly turns: Turns;

  /** Sends one control frame. @returns false when the sink has no room */
  sendControl(): boolean;
  readonly hasControl: boolean;
  /** Sends one frame of data. @returns its length in bytes; 0 when the sink has no room */
  sendData(urgent: boolean): number;
  readonly hasData: boolean;
  /** True when the source has little data and has sent little lately, so that it may overtake bulk. */
  readonly isInteractive: boolean;
}

/** What a {@link Scheduler} keeps about one source. The source creates it. */
export class Turns {
  /** The place in the control lane. */
  readonly control: LaneTicket<Source>;
  /** The place in one of the two data lanes. */
  readonly data: LaneTicket<Source>;
  /** Bytes that the source may still send in this round. */
  deficitBytes = 0;

  constructor(source: Source) {
    this.control = new LaneTicket(source);
    this.data = new LaneTicket(source);
  }
}

/** How much a bulk stream may send in one turn: six full frames. */
export const QUANTUM_BYTES = 8 * 1024;

/**
 * Decides which source sends next. Control frames go first, then interactive data; both are urgent. All other
 * data takes turns by bytes (deficit round robin, Shreedhar and Varghese 1995).
 */
export class Scheduler {
  readonly #control = new Lane<Source>();
  readonly #interactive = new Lane<Source>();
  readonly #bulk = new Lane<Source>();
  #refusedUrgent: boolean;
  #refusedBulk = false;
  readonly #pace: Pace | undefined;
  #isPaced = false;

  /** @param open false to send nothing before the first {@link writable} @param pace for data; default: none */
  constructor(open: boolean, pace?: Pace) {
    this.#refusedUrgent = !open;
    this.#pace = pace;
  }

  /** True when data waits for the pace: call {@link run} again after its wait. */
  get isPaced(): boolean {
    return this.#isPaced;
  }

  /** The source has a control frame to send. */
  controlDue(source: Source): void {
    this.#control.enter(source.turns.control);
  }

  /** The source has data that it may send. Call it again only after the source has run out of data. */
  dataDue(source: Source): void {
    if (source.turns.data.lane !== undefined) return;
    (source.isInteractive ? this.#interactive : this.#bulk).enter(source.turns.data);
  }

  /** Removes a source that is gone. */
  forget(source: Source): void {
    source.turns.control.lane?.leave(source.turns.control);
    source.turns.data.lane?.leave(source.turns.data);
  }

  /** The sink has room again. */
  writable(): void {
    this.#refusedUrgent = false;
    this.#refusedBulk = false;
  }

  /** Sends until nothing is due or the sink has no room. */
  run(): void {
    this.#isPaced = false;
    do {
      this.#runControl();
      this.#runInteractive();
      this.#runBulk();
      // A stream that ended may have made a control frame of another source due.
    } while (this.#control.first !== undefined && !this.#refusedUrgent);
  }

  #runControl(): void {
    let source = this.#control.first;
    while (source !== undefined && !this.#refusedUrgent) {
      if (source.hasControl && !source.sendControl()) {
        this.#refusedUrgent = true;
        return;
      }
      // A source with more frames goes to the end, so that it does not hold up the others.
      this.#control.leave(source.turns.control);
      if (source.hasControl) this.#control.enter(source.turns.control);
      source = this.#control.first;
    }
  }

  #mayPass(): boolean {
    this.#isPaced = this.#pace !== undefined && !this.#pace.isOpen;
    return !this.#isPaced;
  }

  #runInteractive(): void {
    let source = this.#interactive.first;
    while (source !== undefined && !this.#refusedUrgent) {
      if (source.hasData && !source.isInteractive) {
        this.#bulk.enter(source.turns.data);
      } else if (source.hasData) {
        if (!this.#mayPass()) return;
        const bytes = source.sendData(true);
        if (bytes === 0) {
          this.#refusedUrgent = true;
          return;
        }
        this.#pace?.spend(bytes);
      } else {
        this.#interactive.leave(source.turns.data);
      }
      source = this.#interactive.first;
    }
  }

  #runBulk(): void {
    let source = this.#bulk.first;
    while (source !== undefined && !this.#refusedUrgent && !this.#refusedBulk) {
      if (source.turns.deficitBytes <= 0) source.turns.deficitBytes += QUANTUM_BYTES;
      while (source.hasData && source.turns.deficitBytes > 0) {
        if (!this.#mayPass()) return;
        const bytes = source.sendData(false);
        if (bytes === 0) {
          this.#refusedBulk = true;
          return;
        }
        source.turns.deficitBytes -= bytes;
        this.#pace?.spend(bytes);
      }
      this.#bulk.leave(source.turns.data);
      if (source.hasData) this.#bulk.enter(source.turns.data);
      else source.turns.deficitBytes = 0;
      source = this.#bulk.first;
    }
  }
}

/** A source's place in a {@link Lane}. */
export class LaneTicket<T> {
  readonly source: T;
  lane: Lane<T> | undefined;
  previous: LaneTicket<T> | undefined;
  next: LaneTicket<T> | undefined;

  constructor(source: T) {
    this.source = source;
  }
}

/**
 * A queue whose members can leave from the middle. A stream that is gone leaves at once, so a lane is never
 * longer than the list of live streams, whatever a peer does while the sink has no room.
 */
export class Lane<T> {
  #first: LaneTicket<T> | undefined;
  #last: LaneTicket<T> | undefined;

  get first(): T | undefined {
    return this.#first?.source;
  }

  /** Puts a ticket last, unless it is in this lane already. Takes it out of the lane that it is in. */
  enter(ticket: LaneTicket<T>): void {
    if (ticket.lane === this) return;
    ticket.lane?.leave(ticket);
    ticket.lane = this;
    ticket.previous = this.#last;
    if (this.#last === undefined) this.#first = ticket;
    else this.#last.next = ticket;
    this.#last = ticket;
  }

  /** Does nothing if the ticket is not in this lane. */
  leave(ticket: LaneTicket<T>): void {
    if (ticket.lane !== this) return;
    if (ticket.previous === undefined) this.#first = ticket.next;
    else ticket.previous.next = ticket.next;
    if (ticket.next === undefined) this.#last = ticket.previous;
    else ticket.next.previous = ticket.previous;
    ticket.lane = undefined;
    ticket.previous = undefined;
    ticket.next = undefined;
  }
}
