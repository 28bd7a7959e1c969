import type { BranchCounters } from './branch_counters.js';
import { accessTargets } from './fuzz_access.js';
import { forwardTargets } from './fuzz_forward.js';
import { proxyTargets } from './fuzz_proxy.js';
import type { FuzzTarget } from './fuzz_target.js';
import { textTargets } from './fuzz_text.js';
import { wireTargets } from './fuzz_wire.js';
import { type FuzzInput, Mutator } from './mutate.js';

export interface FuzzResult {
  readonly name: string;
  readonly inputs: number;
  readonly accepted: number;
  readonly refused: number;
  /** Inputs that took a branch, or a count bucket, that no earlier input took; empty without counters. */
  readonly found: readonly FuzzInput[];
  /** Number of branches taken; 0 without counters. */
  readonly branches: number;
  readonly ms: number;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Inputs from earlier runs, used as starting points along with the target's own. */
  readonly corpus?: readonly FuzzInput[];
  /** Counters of the code under test; with them the fuzzer mutates inputs that take new branches further. */
  readonly counters?: BranchCounters | undefined;
}

/** Maximum number of inputs to mutate further: the branches of a target times some count buckets. */
const MAX_FOUND = 2000;

export async function fuzzTargets(): Promise<FuzzTarget[]> {
  return [
    ...wireTargets(),
    ...textTargets(),
    ...forwardTargets(),
    ...proxyTargets(),
    ...(await accessTargets()),
  ];
}

/** Gives a target this many inputs; throws at the first fault, with the information to repeat it. */
export async function fuzz(
  target: FuzzTarget,
  inputs: number,
  { seed, corpus = [], counters }: FuzzOptions,
): Promise<FuzzResult> {
  const mutator = new Mutator(seed);
  const parents = [...target.seeds, ...corpus];
  const given = parents.length;
  // Without this limit, inputs that grow with every mutation would only become slow.
  const maxLength = 64 + 2 * Math.max(...parents.map(({ length }) => length));
  const found: FuzzInput[] = [];
  const startMs = performance.now();
  let accepted = 0;
  counters?.forget();
  for (let count = 1; count <= inputs; count++) {
    // The given inputs come first, unchanged.
    const input = count <= given ? parents[count - 1]! : target.make(mutator, parents);
    counters?.clear();
    try {
      const answer = target.run(input);
      // Awaiting each one would take longer than everything else.
      if ((typeof answer === 'string' ? answer : await answer) === 'accepted') accepted++;
    } catch (error) {
      throw new Error(`${target.name}: input ${count} of seed ${seed}: ${showInput(input)}`, {
        cause: error,
      });
    }
    if (counters?.isNews() !== true || input.length > maxLength || found.length >= MAX_FOUND) continue;
    found.push(input);
    if (count > given) parents.push(input);
  }
  const ms = performance.now() - startMs;
  const branches = counters?.reached ?? 0;
  return { name: target.name, inputs, accepted, refused: inputs - accepted, found, branches, ms };
}

/** Selects a few inputs from `found` that take all the branches that `found` takes and `known` does not. */
export async function distilled(
  target: FuzzTarget,
  known: readonly FuzzInput[],
  found: readonly FuzzInput[],
  counters: BranchCounters,
): Promise<FuzzInput[]> {
  counters.forget();
  const kept: FuzzInput[] = [];
  const take = async (input: FuzzInput): Promise<boolean> => {
    counters.clear();
    await target.run(input);
    return counters.isNewBranch();
  };
  for (const input of known) await take(input);
  // The inputs found last went furthest.
  for (const input of found.toReversed()) if (await take(input)) kept.push(input);
  return kept;
}

/** Formats an input for reports and for the corpus. */
export const showInput = (input: FuzzInput): string =>
  typeof input === 'string' ? `text ${JSON.stringify(input)}` : `bytes ${Buffer.from(input).toString('hex')}`;
