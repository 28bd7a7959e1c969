/** One place in a {@link Lane}: a source has one for each lane it may stand in. */
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
 * A queue that anyone can leave from the middle. A stream that is gone leaves at once, so a lane
 * is never longer than the streams that live, whatever a peer does while the way out is closed.
 */
export class Lane<T> {
  #first: LaneTicket<T> | undefined;
  #last: LaneTicket<T> | undefined;

  get first(): T | undefined {
    return this.#first?.source;
  }

  /** Puts it last, unless it stands in this lane already; leaves the lane it stood in. */
  enter(ticket: LaneTicket<T>): void {
    if (ticket.lane === this) return;
    ticket.lane?.leave(ticket);
    ticket.lane = this;
    ticket.previous = this.#last;
    if (this.#last === undefined) this.#first = ticket;
    else this.#last.next = ticket;
    this.#last = ticket;
  }

  /** Does nothing when it stands elsewhere. */
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
