import type { ToxNode } from '../bridge/tox_node.js';
import type { Timers } from '../core/clock.js';
import type { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { Limits } from '../core/peer_limits.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { Path } from '../core/tox_network.js';
import type { OpenRequest } from '../mux/stream/stream_api.js';
import type { PeerChange } from '../tunnel/events.js';

/** What a peer uses of its node. */
export type PeerNode = Pick<ToxNode, 'sendHandshake' | 'openChannel' | 'closeChannel' | 'channelStats'>;

/** What both kinds of peer need of their owner. */
export interface PeerPort {
  readonly node: PeerNode;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly publicKey: string;
  readonly timers: Timers;
  readonly logger: Logger;
  /** How long streams live on while the peer is offline or silent, in milliseconds; 0: not at all. */
  readonly patienceMs: number;
  readonly limits: Limits;
  readonly onCode: (code: ReturnCode, detail?: string) => void;
  readonly onStatus: (status: PeerChange['status'], path: Path) => void;
  /** The round trip over a path that was told as online, once for each time. */
  readonly onRoundTrip?: (path: Path, roundTripMs: number) => void;
  readonly onOpen: (request: OpenRequest) => void;
}

/** The node was closed, or told of its death by itself: there is nothing to say and nothing to try. */
export function isNodeGone(error: TunnelError): boolean {
  return error.code === 'ERR_CLOSED' || error.code === 'ERR_WORKER_DIED';
}
