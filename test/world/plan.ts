import { seeded } from '../support/sim_clock.js';
import type { Nat } from './net.js';

/** Where an end of the tunnel stands, and how it reaches the Internet. */
export interface PlaceShape {
  readonly nat: Nat['kind'] | 'none';
  readonly natTimeoutMs: number;
  readonly hairpin: boolean;
  readonly firewall: boolean;
  readonly ipv6: boolean;
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplicate: number;
  /** Bytes per millisecond; 0: no limit. */
  readonly rate: number;
  /** The end uses TCP relays only. */
  readonly withoutUdp: boolean;
  /** How much faster than others its clock runs, in parts per million; default 0. */
  readonly driftPpm?: number;
  /** Another end's number: both are behind the same NAT. */
  readonly sharesWith?: number;
}

/** An end by number: 0 is the listener, then the connectors. */
export type EndNumber = number;

/** Something that goes wrong, and for how long. */
export type Fault = { readonly atMs: number; readonly forMs: number } & (
  | { readonly kind: 'kill-node' | 'freeze-node'; readonly node: number }
  | {
      readonly kind: 'kill' | 'stop' | 'freeze' | 'move' | 'cut' | 'no-udp' | 'nat-restart' | 'clock-jump';
      readonly end: EndNumber;
    }
  // `fresh` restarts without its identity, `forgetful` with the identity alone; while a disk is full, nothing is saved.
  | { readonly kind: 'fresh' | 'forgetful' | 'full-disk'; readonly end: EndNumber }
  | { readonly kind: 'loss'; readonly end: EndNumber; readonly loss: number }
  | { readonly kind: 'partition' }
  | { readonly kind: 'visitor'; readonly leaves: 'killed' | 'politely'; readonly withoutUdp: boolean }
  | { readonly kind: 'flood'; readonly end: EndNumber }
);

/** Everything that happens in a world, except what follows from it. */
export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  readonly ends: readonly PlaceShape[];
  readonly faults: readonly Fault[];
}

/** The time in which faults begin, after the world has come to rest. */
export const FAULTS_FROM_MS = 12_000;
const FAULTS_FOR_MS = 30_000;

/**
 * `any`: anything goes. `killed` and `stopped`: 3 to 30 nodes, good lines, and a listener that is killed, or
 * leaves, and comes back at once. `cut`: the listener's line is cut for a while. `nodes`: all bootstrap nodes die while the ends are connected.
 */
export const PLAN_KINDS = ['any', 'killed', 'stopped', 'cut', 'nodes'] as const;
export type PlanKind = (typeof PLAN_KINDS)[number];

/** A public place with a good line. */
export const GOOD: PlaceShape = {
  nat: 'none',
  natTimeoutMs: 60_000,
  hairpin: false,
  firewall: false,
  ipv6: false,
  delayMs: 5,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  rate: 0,
  withoutUdp: false,
};

/** The plan of a seed. */
export function planOf(seed: number, kind: PlanKind = 'any'): Plan {
  return kind === 'any' ? anyPlan(seed) : restPlan(seed, kind);
}

function restPlan(seed: number, kind: Exclude<PlanKind, 'any'>): Plan {
  const random = seeded(seed * 6151 + 29);
  const below = (limit: number): number => Math.floor(random() * limit);
  const nodes = 3 + below(28);
  const ends = Array.from({ length: 2 + below(3) }, () => GOOD);
  const atMs = FAULTS_FROM_MS + below(20_000);
  const faults = (): Fault[] => {
    switch (kind) {
      case 'nodes':
        return Array.from({ length: nodes }, (_, node) => ({ atMs, forMs: 60_000, kind: 'kill-node', node }));
      case 'cut':
        return [{ atMs, forMs: 40_000 + below(60_000), kind: 'cut', end: 0 }];
      case 'killed':
        return [{ atMs, forMs: below(500), kind: 'kill', end: 0 }];
      case 'stopped':
        return [{ atMs, forMs: 0, kind: 'stop', end: 0 }];
    }
  };
  return { seed, nodes, ends, faults: faults() };
}

/** A random world: mostly small ones, which are quick and have the fewest ways out. */
function anyPlan(seed: number): Plan {
  const random = seeded(seed * 7919 + 17);
  const below = (limit: number): number => Math.floor(random() * limit);
  const chance = (probability: number): boolean => random() < probability;
  const pick = <Value>(values: readonly Value[]): Value => values[below(values.length)]!;
  const size = random();
  const nodes = size < 0.45 ? 1 : size < 0.8 ? 2 + below(3) : size < 0.96 ? 5 + below(6) : 11 + below(45);
  const connectors = chance(0.6) ? 1 : 2 + below(3);
  const place = (number: number): PlaceShape => {
    const nat = chance(0.5) ? 'none' : chance(0.75) ? 'keeping' : 'symmetric';
    const isPlain = chance(0.5);
    return {
      nat,
      natTimeoutMs: pick([30_000, 60_000, 180_000]),
      hairpin: chance(0.5),
      firewall: nat === 'none' && chance(0.3),
      ipv6: nat === 'none' && chance(0.2),
      delayMs: pick([1, 5, 20, 60]),
      jitterMs: isPlain ? 0 : pick([1, 5, 30]),
      loss: isPlain ? 0 : pick([0, 0.005, 0.02]),
      duplicate: isPlain ? 0 : pick([0, 0.01]),
      rate: chance(0.8) ? 0 : pick([100, 1000]),
      withoutUdp: chance(0.12),
      ...(number > 0 && chance(0.1) ? { sharesWith: below(number) } : {}),
    };
  };
  const ends = Array.from({ length: connectors + 1 }, (_, number) => place(number));
  const fault = (): Fault => {
    const when = {
      atMs: FAULTS_FROM_MS + below(FAULTS_FOR_MS),
      forMs: pick([0, 300, 1_000, 3_000, 8_000, 20_000]),
    };
    const end = below(connectors + 1);
    const kind = below(15);
    if (kind === 0) return { ...when, kind: 'kill-node', node: below(nodes) };
    if (kind === 1) return { ...when, kind: 'freeze-node', node: below(nodes) };
    if (kind === 2) return { ...when, kind: 'partition' };
    if (kind === 3 || kind === 4)
      return { ...when, kind: 'visitor', leaves: pick(['killed', 'politely']), withoutUdp: chance(0.15) };
    if (kind === 5) return { ...when, kind: 'flood', end };
    if (kind === 6) return { ...when, kind: 'loss', end, loss: pick([0.05, 0.2, 0.5]) };
    if (kind === 7) return { ...when, kind: 'fresh', end: 1 + below(connectors) };
    return {
      ...when,
      kind: pick(['kill', 'kill', 'stop', 'freeze', 'move', 'cut', 'no-udp', 'nat-restart', 'clock-jump']),
      end,
    };
  };
  const faults = Array.from({ length: below(5) }, fault);
  const { driftsPpm, lateFaults } = lateIdeas(seed, ends.length);
  return {
    seed,
    nodes,
    ends: ends.map((end, number) => ({ ...end, driftPpm: driftsPpm[number]! })),
    faults: [...faults, ...lateFaults].toSorted((a, b) => a.atMs - b.atMs),
  };
}

/** What plans got later. It has its own random numbers, so that the older parts of each seed's plan stay as they were. */
function lateIdeas(
  seed: number,
  ends: number,
): { readonly driftsPpm: readonly number[]; readonly lateFaults: readonly Fault[] } {
  const random = seeded(seed * 4801 + 11);
  const below = (limit: number): number => Math.floor(random() * limit);
  // Crystals of computers are off by up to 100 ppm; virtual machines by more.
  const driftsPpm = Array.from({ length: ends }, () => (random() < 0.5 ? 0 : below(1_001) - 500));
  if (random() >= 0.2) return { driftsPpm, lateFaults: [] };
  const end = below(ends);
  const atMs = FAULTS_FROM_MS + below(FAULTS_FOR_MS);
  const faults: Fault[] = [
    { kind: 'forgetful', end, atMs, forMs: below(3_000) },
    { kind: 'full-disk', end, atMs, forMs: 1_000 + below(20_000) },
    // So long that toxcore gives up the friend, and so short that the streams still wait.
    { kind: 'cut', end, atMs, forMs: 36_000 + below(8_000) },
  ];
  return { driftsPpm, lateFaults: [faults[below(faults.length)]!] };
}

/** One line for people. */
export function describeFault({ atMs, forMs, ...fault }: Fault): string {
  const { kind, ...others } = fault;
  const what = Object.entries(others).map(([name, value]) => `${name} ${value}`);
  return `${(atMs / 1000).toFixed(1)} s: ${[kind, ...what].join(', ')}, for ${forMs} ms`;
}
