import type { PlaceShape, Plan } from './plan.js';
import { type Outcome, runWorld } from './world.js';

const PLAIN: Partial<PlaceShape> = {
  nat: 'none',
  firewall: false,
  ipv6: false,
  delayMs: 5,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  rate: 0,
  withoutUdp: false,
};

/** Smaller plans, the boldest first. */
function* smaller(plan: Plan): Generator<Plan> {
  const { faults, ends, nodes } = plan;
  if (faults.length > 2) {
    const half = faults.length >> 1;
    yield { ...plan, faults: faults.slice(0, half) };
    yield { ...plan, faults: faults.slice(half) };
  }
  for (const [index] of faults.entries()) yield { ...plan, faults: faults.toSpliced(index, 1) };
  if (ends.length > 2) yield { ...plan, ends: ends.slice(0, -1) };
  for (const fewer of [1, 2, nodes >> 1, nodes - 1])
    if (fewer > 0 && fewer < nodes) yield { ...plan, nodes: fewer };
  for (const [index, { sharesWith: _, ...place }] of ends.entries()) {
    for (const [name, value] of Object.entries(PLAIN)) {
      if (JSON.stringify(place) === JSON.stringify({ ...place, [name]: value })) continue;
      yield { ...plan, ends: ends.with(index, { ...place, [name]: value }) };
    }
  }
  for (const [index, fault] of faults.entries()) {
    for (const forMs of [0, 1_000]) {
      if (forMs < fault.forMs) yield { ...plan, faults: faults.with(index, { ...fault, forMs }) };
    }
  }
}

/**
 * Looks for the smallest plan that still breaks something.
 *
 * @param onSmaller called with each smaller one that does
 */
export async function shrink(failing: Outcome, onSmaller: (found: Outcome) => void): Promise<Outcome> {
  for (const plan of smaller(failing.plan)) {
    const outcome = await runWorld(plan);
    if (outcome.broken.length === 0) continue;
    onSmaller(outcome);
    return await shrink(outcome, onSmaller);
  }
  return failing;
}
