/**
 * The largest of the samples of the last `span` rounds, kept as three candidates, each the
 * best of what came after the one before: the streaming filter of Kathleen Nichols that BBR uses.
 */
export class MaxFilter {
  readonly #span: number;
  readonly #value = new Float64Array(3);
  readonly #round = new Float64Array(3);

  /** @param span rounds that a sample counts for */
  constructor(span: number) {
    this.#span = span;
  }

  /** 0 without samples. */
  get max(): number {
    return this.#value[0]!;
  }

  reset(value = 0, round = 0): void {
    this.#value.fill(value);
    this.#round.fill(round);
  }

  update(value: number, round: number): void {
    if (value >= this.#value[0]! || round - this.#round[2]! > this.#span) {
      this.reset(value, round);
      return;
    }
    if (value >= this.#value[1]!) {
      this.#set(1, value, round);
      this.#set(2, value, round);
    } else if (value >= this.#value[2]!) {
      this.#set(2, value, round);
    }
    // The best is too old: the next best take over.
    if (round - this.#round[0]! > this.#span) {
      this.#set(0, this.#value[1]!, this.#round[1]!);
      this.#set(1, this.#value[2]!, this.#round[2]!);
      this.#set(2, value, round);
      if (round - this.#round[0]! > this.#span) {
        this.#set(0, this.#value[1]!, this.#round[1]!);
        this.#set(1, this.#value[2]!, this.#round[2]!);
      }
    } else if (this.#round[1] === this.#round[0] && round - this.#round[1]! > this.#span / 4) {
      this.#set(1, value, round);
      this.#set(2, value, round);
    } else if (this.#round[2] === this.#round[1] && round - this.#round[2]! > this.#span / 2) {
      this.#set(2, value, round);
    }
  }

  #set(at: number, value: number, round: number): void {
    this.#value[at] = value;
    this.#round[at] = round;
  }
}
