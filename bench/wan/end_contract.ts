import type { Timeline } from './timeline.js';

/** What an end is asked to do; one process on each host does it. */
export interface EndTasks {
  /** Serves transfers and echoes on every address; the port. */
  serve(): number;
  get(task: GetTask): Transfer;
  ping(task: PingTask): readonly number[];
}

export interface GetTask {
  readonly host: string;
  readonly port: number;
  /** Ended there, and checked by SHA-256. */
  readonly bytes: number;
  /** Broken off after so long, and then not checked; default never. */
  readonly forMs?: number;
}

export interface Transfer {
  readonly timeline: Timeline;
  /** From the dial until the last byte, in milliseconds. */
  readonly ms: number;
  /** Whether it came to its end; then its SHA-256 was right. */
  readonly isWhole: boolean;
}

/** One byte there and back, again and again; milliseconds of each. */
export interface PingTask {
  readonly host: string;
  readonly port: number;
  readonly forMs: number;
}

export type EndRequest = {
  readonly [Name in keyof EndTasks]: {
    readonly id: number;
    readonly name: Name;
    readonly task: Parameters<EndTasks[Name]>[0];
  };
}[keyof EndTasks];

export interface EndAnswer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}
