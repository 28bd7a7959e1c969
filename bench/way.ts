import type { Direction } from './target.js';

/** Two ends with something between them that carries bytes: what the benchmarks compare. */
export interface Way<Running extends StartedWay = RunningWay> {
  readonly name: string;
  /** Why it cannot be measured here, in words; undefined when it can. */
  unavailable?(): string | undefined;
  /** Ready for connections when it resolves. @param targetPort on loopback */
  start(targetPort: number): Promise<Running>;
}

export interface StartedWay {
  readonly processes: readonly WayProcess[];
  stop(): Promise<void>;
}

/** A way from a local port to a target's port. */
export interface RunningWay extends StartedWay {
  /** Local port that leads to the target. */
  readonly port: number;
  /** From the start of the connecting process until it was ready, in milliseconds; 0 when there is none. */
  readonly connectMs: number;
}

/** A way of packets alone, without connections: it moves and checks bytes by itself. */
export interface PacketsWay extends StartedWay {
  /** How long they took, in milliseconds, and how many packets were lost and not sent again. */
  carry(direction: Direction, bytes: number): Promise<{ readonly ms: number; readonly lost: number }>;
}

/** A process whose CPU time and memory count; its children count with it. */
export interface WayProcess {
  readonly name: string;
  readonly pid: number;
}
