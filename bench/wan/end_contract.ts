import type { Timeline } from './timeline.js';

/** Requests to an end; one process runs on each host. */
export interface EndTasks {
  /** Serves transfers and echoes on every address; returns the port. */
  serve(): number;
  get(task: GetTask): Transfer;
  ping(task: PingTask): readonly number[];
}

export interface GetTask {
  readonly host: string;
  readonly port: number;
  /** The transfer ends after this many bytes and is checked with SHA-256. */
  readonly bytes: number;
  /** The transfer is cut off after this time and then not checked; never by default. */
  readonly forMs?: number;
}

export interface Transfer {
  readonly timeline: Timeline;
  /** From the dial until the last byte, in milliseconds. */
  readonly ms: number;
  /** Whether the transfer completed; its SHA-256 was then right. */
  readonly isWhole: boolean;
}

/** Sends one byte there and back repeatedly; returns the milliseconds of each round trip. */
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
