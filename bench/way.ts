import type { Direction } from './target.js';

/** Two ends with something between them that carries bytes: the subject of the comparisons. */
export interface Way<Running extends StartedWay = RunningWay> {
  readonly name: string;
  /** Returns why it cannot be measured here, in words; undefined when it can. */
  unavailable?(): string | undefined;
  /** Resolves when it accepts connections. @param targetPort on the loopback */
  start(targetPort: number): Promise<Running>;
}

export interface StartedWay {
  readonly processes: readonly WayProcess[];
  stop(): Promise<void>;
}

/** A way from a local port to the port of a target. */
export interface RunningWay extends StartedWay {
  /** Local port that leads to the target. */
  readonly port: number;
  /**
   * From the start of the connecting process until it was ready, in milliseconds; 0 without such a process.
   */
  readonly connectMs: number;
}

/** A way that carries only packets, without connections: it transfers and checks bytes by itself. */
export interface PacketsWay extends StartedWay {
  /** Returns how long the packets took, in milliseconds, and how many were lost and not sent again. */
  carry(direction: Direction, bytes: number): Promise<{ readonly ms: number; readonly lost: number }>;
}

/** A process whose CPU time and memory count, including its children. */
export interface WayProcess {
  readonly name: string;
  readonly pid: number;
}
