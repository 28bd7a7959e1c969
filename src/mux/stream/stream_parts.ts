import type { Datagrams } from '../datagram/datagrams.js';
import type { Reason } from '../wire/reasons.js';
import type { ReceiveHalf } from './receive_half.js';
import type { SendHalf } from './send_half.js';
import type { StreamHandlers } from './stream_api.js';

/**
 * - requested: the peer's OPEN waits for our consumer.
 * - accepted: OPENED waits to be sent.
 * - opening: our OPEN waits to be sent.
 * - asked: our OPEN waits for its answer.
 * - cancelled: we gave up while `asked`. The UUID stays reserved until the answer arrives.
 * - open: bytes flow.
 * - resetting: RESET waits to be sent.
 * - closed: the session has forgotten the stream.
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

/** Why a stream was refused or cut short. */
export type Verdict =
  | { readonly kind: 'refused'; readonly reason: Reason; readonly text: string }
  | { readonly kind: 'reset'; readonly reason: Reason; readonly remote: boolean };

/** The parts that a stream is made of. */
export interface StreamParts {
  readonly id: Uint8Array;
  /** The target in our OPEN, from `encodeTarget`; undefined for a stream that the peer opened. */
  readonly open: Uint8Array | undefined;
  readonly sending: SendHalf;
  readonly receiving: ReceiveHalf;
  /** Set for a stream to a UDP target, which carries datagrams instead of bytes. */
  readonly datagrams: Datagrams | undefined;
  readonly handlers: StreamHandlers;
}
