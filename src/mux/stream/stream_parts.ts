import type { Datagrams } from '../datagram/datagrams.js';
import type { Reason } from '../wire/reasons.js';
import type { ReceiveHalf } from './receive_half.js';
import type { SendHalf } from './send_half.js';
import type { StreamHandlers } from './stream_api.js';

/**
 * requested: the peer's OPEN waits for our consumer. accepted: OPENED waits to be sent.
 * opening: our OPEN waits to be sent. asked: it waits for its answer.
 * cancelled: we gave up while it waited; the UUID is kept until the answer comes.
 * resetting: RESET waits to be sent.
 */
export type Phase =
  | 'requested'
  | 'accepted'
  | 'opening'
  | 'asked'
  | 'cancelled'
  | 'open'
  | 'resetting'
  | 'closed';

/** How a stream ended without both its ends. */
export type Verdict =
  | { readonly kind: 'refused'; readonly reason: Reason; readonly text: string }
  | { readonly kind: 'reset'; readonly reason: Reason; readonly remote: boolean };

/** What a stream is made of. */
export interface StreamParts {
  readonly id: Uint8Array;
  /** What our OPEN asks for, as `encodeTarget` wrote it; undefined for the peer's stream. */
  readonly open: Uint8Array | undefined;
  readonly sending: SendHalf;
  readonly receiving: ReceiveHalf;
  /** Of a stream to a UDP target, which has no bytes. */
  readonly datagrams: Datagrams | undefined;
  readonly handlers: StreamHandlers;
}
