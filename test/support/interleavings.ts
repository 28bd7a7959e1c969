/** What a modelled thread may do besides Atomics. */
export interface Steps {
  /** An effect or a read that other threads can see. While `enabled` is false, the thread waits. */
  step<T>(act: () => T, enabled?: () => boolean): T;
  /** The same, but no other thread can run before it. */
  note<T>(act: () => T): T;
}

/**
 * A modelled thread: it creates its objects and returns what it does next. Each Atomics call and each {@link
 * Steps.step} in that part is one step. For every step the thread runs again from its start and replays its
 * earlier steps from a log. So it may share data only through these steps, and through memory that it would
 * write in the same way again.
 */
export type Thread = (steps: Steps) => () => void;

const METHODS = ['load', 'store', 'exchange', 'add'] as const;
type Method = (typeof METHODS)[number];
type Operation = (words: Int32Array, index: number, value?: number) => number;

/** Thrown to leave a replay at the thread's next step. */
const PAUSE = new Error('paused');
const always = (): boolean => true;

class Replayed {
  readonly #thread: Thread;
  readonly #log: unknown[] = [];
  #enabled = always;
  #allowed = 0;
  ended = false;

  constructor(thread: Thread) {
    this.#thread = thread;
    this.#replay();
  }

  get enabled(): boolean {
    return !this.ended && this.#enabled();
  }

  advance(): void {
    this.#allowed = this.#log.length + 1;
    this.#replay();
  }

  #replay(): void {
    let at = 0;
    let free = true;
    let pausing = false;
    const answer = <T>(act: () => T, enabled: () => boolean, isFree: boolean): T => {
      // A `finally` block on the way out: its steps come in a later replay. Nobody uses the result.
      if (pausing) return 0 as T;
      // The thread is deterministic, so the log holds the answer to this same call.
      if (at < this.#log.length) return this.#log[at++] as T;
      if (isFree) this.#allowed++;
      if (at >= this.#allowed) {
        pausing = true;
        this.#enabled = enabled;
        throw PAUSE;
      }
      const result = act();
      this.#log[at++] = result;
      return result;
    };

    intercept = (act) => answer(act, always, free);
    try {
      const run = this.#thread({
        step: (act, enabled = always) => answer(act, enabled, false),
        note: (act) => answer(act, always, true),
      });
      free = false;
      run();
      this.ended = true;
    } catch (thrown) {
      if (thrown !== PAUSE) throw thrown;
    } finally {
      intercept = (act) => act();
    }
  }
}

let intercept: (act: () => number) => number = (act) => act();

function withStepping<T>(act: () => T): T {
  const patch = (name: Method, operation: Operation): void =>
    void Object.defineProperty(Atomics, name, { value: operation, configurable: true, writable: true });
  const restore = METHODS.map((name) => {
    // The overloads of the four work alike; only Int32Array is used here.
    const real = Atomics[name] as Operation;
    patch(name, (words, index, value) => intercept(() => real(words, index, value)));
    return () => patch(name, real);
  });
  try {
    return act();
  } finally {
    for (const undo of restore) undo();
  }
}

/**
 * Runs the threads of `scenario` in every order of their steps with at most `preemptions` switches away from
 * a thread that could continue. Calls `check` once no thread can continue.
 *
 * @returns the number of orders run
 */
export function everyInterleaving(
  scenario: () => {
    readonly threads: readonly Thread[];
    readonly check: (ended: readonly boolean[]) => void;
  },
  preemptions: number,
): number {
  return withStepping(() => {
    const open: { readonly choices: readonly number[]; readonly left: number }[] = [
      { choices: [], left: preemptions },
    ];
    let runs = 0;
    for (let plan = open.pop(); plan !== undefined; plan = open.pop()) {
      const { threads, check } = scenario();
      const all = threads.map((thread) => new Replayed(thread));
      const choices: number[] = [];
      let current = 0;
      for (;;) {
        const ready = all.flatMap((thread, index) => (thread.enabled ? [index] : []));
        if (ready.length === 0) break;
        const couldGoOn = ready.includes(current);
        const planned = plan.choices[choices.length];
        const choice = planned ?? (couldGoOn ? current : ready[0]!);
        const left = plan.left - (couldGoOn ? 1 : 0);
        if (planned === undefined && left >= 0) {
          for (const other of ready) if (other !== choice) open.push({ choices: [...choices, other], left });
        }
        choices.push(choice);
        current = choice;
        all[choice]!.advance();
        if (choices.length > 10_000) throw new Error(`no end in the order ${choices.join('').slice(0, 200)}`);
      }
      runs++;
      try {
        check(all.map((thread) => thread.ended));
      } catch (cause) {
        throw new Error(`in the order ${choices.join('')}`, { cause });
      }
    }
    return runs;
  });
}
