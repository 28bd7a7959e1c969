import type { Connector } from '../../../src/index.js';
import type { FarEnd } from './far_end.js';
import type { Hold } from './hold.js';

/** One client library, with a server for it at the far end. */
export interface Client {
  readonly name: string;
  /**
   * What becomes of jobs that were in progress or queued when the far end was lost, once it is back: an error of each,
   * or the answer, where the client sends them again by itself.
   */
  readonly whenLost: 'error' | 'answer' | 'answer and error';
  /** True for a client that reconnects without end: its jobs end only when the program closes it. */
  readonly retriesForever?: true;
  /** Starts the server. It calls {@link Hold.pass} before it answers a job of {@link ClientInUse.jobs}. */
  serve(far: FarEnd, hold: Hold): Promise<void> | void;
  open(tunnel: Connector, far: FarEnd): Promise<ClientInUse> | ClientInUse;
}

export interface ClientInUse {
  /** Moves real data through the client, and checks what comes back. */
  work(): Promise<void>;
  /** Begins jobs that the server holds, and jobs that wait behind them. */
  jobs(): readonly Promise<unknown>[];
  /** Closes the client as its documentation says. */
  close(): Promise<void> | void;
}
