import type { SessionStats } from '../mux/session/session_options.js';

/** What a peer's sessions have carried so far. `Out` counts what this end sent. */
export interface Traffic {
  /** Bytes of frames. */
  readonly bytesOut: number;
  readonly bytesIn: number;
  /** Datagrams of UDP forwards: sent, and received whole. */
  readonly datagramsOut: number;
  readonly datagramsIn: number;
  /**
   * Datagrams that this end dropped for lack of room, or because a part was missing. Losses between the two
   * ends are not counted.
   */
  readonly datagramsDropped: number;
}

export const NO_TRAFFIC: Traffic = {
  bytesOut: 0,
  bytesIn: 0,
  datagramsOut: 0,
  datagramsIn: 0,
  datagramsDropped: 0,
};

export function addTraffic(a: Traffic, b: Traffic): Traffic {
  return {
    bytesOut: a.bytesOut + b.bytesOut,
    bytesIn: a.bytesIn + b.bytesIn,
    datagramsOut: a.datagramsOut + b.datagramsOut,
    datagramsIn: a.datagramsIn + b.datagramsIn,
    datagramsDropped: a.datagramsDropped + b.datagramsDropped,
  };
}

export function trafficOf(stats: SessionStats): Traffic {
  return {
    bytesOut: stats.bytesSent,
    bytesIn: stats.bytesReceived,
    datagramsOut: stats.datagramsSent,
    datagramsIn: stats.datagramsReceived,
    datagramsDropped: stats.datagramsDropped,
  };
}
