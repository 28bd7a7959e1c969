import * as v from 'valibot';
import { type ControlMethods, method } from '../../control/server.js';
import type { TunnelHandle } from '../api.js';
import { RunningForwardSchema } from '../output/forward_text.js';
import { DatagramCounts, PeerSchema, peerRows } from '../output/peer_rows.js';
import type { CliIo } from '../process/io.js';
import type { RunningForward } from './running_forwards.js';

/** What a running process tells of itself. */
export const StatusSchema = v.object({
  role: v.picklist(['listener', 'connector']),
  pid: v.number(),
  toxId: v.string(),
  /** ISO 8601. */
  since: v.string(),
  upMs: v.number(),
  /** How this node itself is joined to the network. */
  network: v.picklist(['udp', 'relay', 'none']),
  /** Of all peers. */
  bytesIn: v.number(),
  bytesOut: v.number(),
  ...DatagramCounts,
  /** Bytes a second, just now. */
  inRate: v.number(),
  outRate: v.number(),
  peers: v.array(PeerSchema),
  /** Of a connector. */
  forwards: v.array(RunningForwardSchema),
});
export type Status = v.InferOutput<typeof StatusSchema>;

export interface StatusMethodOptions {
  readonly role: Status['role'];
  readonly handle: Pick<TunnelHandle, 'toxId' | 'networkPath' | 'peers' | 'stats'>;
  readonly forwards: () => readonly RunningForward[];
  readonly io: Pick<CliIo, 'timers' | 'wallClock' | 'pid'>;
}

/** How long is measured for a rate, in milliseconds. */
const SAMPLE_MS = 500;

/** Answers `status`; to be made when the process starts. */
export function statusMethod({ role, handle, forwards, io }: StatusMethodOptions): ControlMethods {
  const { timers } = io;
  const startedMs = timers.nowMs();
  return {
    status: method(v.object({}), async (): Promise<Status> => {
      const before = { ...handle.stats(), atMs: timers.nowMs() };
      await new Promise<void>((resolve) => timers.set(resolve, SAMPLE_MS));
      const stats = handle.stats();
      const { bytesIn, bytesOut } = stats;
      const nowMs = timers.nowMs();
      const rate = (bytes: number): number => Math.round((bytes * 1000) / Math.max(nowMs - before.atMs, 1));
      const upMs = Math.round(nowMs - startedMs);
      const now = io.wallClock();
      return {
        role,
        pid: io.pid,
        toxId: handle.toxId,
        since: new Date(now.getTime() - upMs).toISOString(),
        upMs,
        network: handle.networkPath,
        ...stats,
        inRate: rate(bytesIn - before.bytesIn),
        outRate: rate(bytesOut - before.bytesOut),
        peers: peerRows(handle.peers(), now),
        forwards: [...forwards()],
      };
    }),
  };
}
