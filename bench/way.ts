/** A way from a local port to a target's port: what the benchmarks compare. */
export interface Way {
  readonly name: string;
  /** Why it cannot be measured here, in words; undefined when it can. */
  unavailable?(): string | undefined;
  /** Ready for connections when it resolves. @param targetPort on loopback */
  start(targetPort: number): Promise<RunningWay>;
}

export interface RunningWay {
  /** Local port that leads to the target. */
  readonly port: number;
  readonly processes: readonly WayProcess[];
  /** From the start of the connecting process until it was ready, in milliseconds; 0 when there is none. */
  readonly connectMs: number;
  stop(): Promise<void>;
}

/** A process whose CPU time and memory count; its children count with it. */
export interface WayProcess {
  readonly name: string;
  readonly pid: number;
}
