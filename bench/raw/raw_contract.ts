import type { Direction } from '../target.js';

/** What a raw end is asked to do, one after the other; answered in order. */
export type RawRequest =
  /** @param bootstrap `HOST:PORT:KEY`; answers with the public key */
  | { readonly do: 'start'; readonly bootstrap: string }
  /** Answers once the friend is online over UDP. */
  | { readonly do: 'befriend'; readonly publicKey: string }
  /** Keeps what comes of that run from now on. */
  | { readonly do: 'receive'; readonly run: number; readonly bytes: number }
  /** Sends and waits until the other end has seen the last packet. */
  | { readonly do: 'send'; readonly run: number; readonly bytes: number; readonly direction: Direction }
  /** Tells what came since `receive`. */
  | { readonly do: 'result' };

export interface RawAnswer {
  readonly publicKey?: string;
  /** From the first packet until the word that the last one came. */
  readonly ms?: number;
  readonly sha256?: string;
  /** Numbers of the packets that did not come: zeros stand for them in the sha256. */
  readonly missing?: readonly number[];
}
