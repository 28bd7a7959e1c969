import type { Direction } from '../target.js';

/** Requests to a raw end, sent one after the other and answered in order. */
export type RawRequest =
  /** @param bootstrap `HOST:PORT:KEY`; the answer holds the public key */
  | { readonly do: 'start'; readonly bootstrap: string }
  /** Answers once the friend is online over UDP. */
  | { readonly do: 'befriend'; readonly publicKey: string }
  /** Keeps the packets of this run from now on. */
  | { readonly do: 'receive'; readonly run: number; readonly bytes: number }
  /** Sends, and answers once the other end has seen the last packet. */
  | { readonly do: 'send'; readonly run: number; readonly bytes: number; readonly direction: Direction }
  /** Reports what arrived since `receive`. */
  | { readonly do: 'result' };

export interface RawAnswer {
  readonly publicKey?: string;
  /** From the first packet until the acknowledgement of the last one. */
  readonly ms?: number;
  readonly sha256?: string;
  /** Numbers of the missing packets; the sha256 counts zeros in their place. */
  readonly missing?: readonly number[];
}
