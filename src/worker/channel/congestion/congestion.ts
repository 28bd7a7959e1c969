/** What one acknowledgement, or one pass of loss detection, told. One object is used again and again. */
export interface AckBatch {
  nowMs: number;
  /** Bytes of packets acknowledged now, those that counted as lost before included. */
  ackedBytes: number;
  /** Bytes of packets that count as lost since now. */
  lostBytes: number;
  /** Bytes of packets acknowledged now that had counted as lost: they were only late. */
  lateBytes: number;
  /** Bytes in flight before and after. */
  priorInFlightBytes: number;
  inFlightBytes: number;
  /** Bytes acknowledged since the channel began. */
  deliveredBytes: number;
  /** {@link deliveredBytes} at the moment the newest packet acknowledged now was sent; -1 without one. */
  deliveredAtSendBytes: number;
  /** Rate at which the path delivered, in bytes per ms, over about a round trip; 0 when not to be told. */
  deliveryRate: number;
  /** The sample was taken while we had too little to send: it tells a lower bound only. */
  appLimited: boolean;
  /** Round trip of the newest packet acknowledged now, the peer's delay taken off; 0 without one. */
  rttMs: number;
}

/** Decides how much may be in flight and how fast it goes out. Told of everything, asked before each packet. */
export interface CongestionController {
  /** Bytes that may be in flight. */
  readonly windowBytes: number;
  /** Bytes per ms that may leave, bursts aside. */
  readonly pacingRate: number;
  /** A packet of `bytes` leaves; `inFlightBytes` holds what was in flight before it. */
  onSent(nowMs: number, bytes: number, inFlightBytes: number): void;
  /** A frame that somebody waits for is given to the channel: what is in flight delays it. */
  onUrgent(nowMs: number): void;
  onAcked(batch: AckBatch): void;
  /** Several probes in a row went unanswered: what was known of the path is in doubt. */
  onTimeout(nowMs: number): void;
  /** The packets take another path: nothing learnt holds. */
  onPathChanged(nowMs: number): void;
}
