import type { FuzzInput, FuzzTarget } from './fuzz_target.js';
import { textTargets } from './fuzz_text.js';
import { wireTargets } from './fuzz_wire.js';
import { Mutator } from './mutate.js';

export interface FuzzResult {
  readonly name: string;
  readonly inputs: number;
  readonly accepted: number;
  readonly refused: number;
  readonly ms: number;
}

export function fuzzTargets(): FuzzTarget[] {
  return [...wireTargets(), ...textTargets()];
}

/** How an input stands in a report and in the corpus. */
export const showInput = (input: FuzzInput): string =>
  typeof input === 'string' ? `text ${JSON.stringify(input)}` : `bytes ${Buffer.from(input).toString('hex')}`;

/** Gives a target so many inputs; throws at the first fault, with what makes it again. */
export async function fuzz(target: FuzzTarget, inputs: number, seed: number): Promise<FuzzResult> {
  const mutator = new Mutator(seed);
  const startMs = performance.now();
  let accepted = 0;
  for (let count = 1; count <= inputs; count++) {
    const input = target.make(mutator);
    try {
      const answer = target.run(input);
      // Waiting for each would cost more than the rest.
      if ((typeof answer === 'string' ? answer : await answer) === 'accepted') accepted++;
    } catch (error) {
      throw new Error(
        `${target.name}: input ${count} of seed ${seed}: ${showInput(input)}; again with --only "${target.name}" --seed ${seed}`,
        { cause: error },
      );
    }
  }
  return { name: target.name, inputs, accepted, refused: inputs - accepted, ms: performance.now() - startMs };
}
