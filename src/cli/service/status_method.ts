import * as v from 'valibot';
import { type ControlMethods, method } from '../../control/server.js';
import { type RunningForward, RunningForwardSchema } from '../output/forward_text.js';
import { DatagramCounts, PeerSchema, peerRows } from '../output/peer_rows.js';
import type { CliIo } from '../process/io.js';
import type { TunnelHandle } from '../process/library.js';

/** The status of a running process. */
export const StatusSchema = v.object({
  role: v.picklist(['listener', 'connector']),
  pid: v.number(),
  toxId: v.string(),
  /** ISO 8601. */
  since: v.string(),
  upMs: v.number(),
  /** How this Tox node is joined to the network. */
  network: v.picklist(['udp', 'relay', 'none']),
  /** Totals of all peers. */
  bytesIn: v.number(),
  bytesOut: v.number(),
  ...DatagramCounts,
  /** Current bytes per second. */
  inRate: v.number(),
  outRate: v.number(),
  peers: v.array(PeerSchema),
  /** Connector only. */
  forwards: v.array(RunningForwardSchema),
});
export type Status = v.InferOutput<typeof StatusSchema>;

export interface StatusMethodOptions {
  readonly role: Status['role'];
  readonly handle: Pick<TunnelHandle, 'toxId' | 'node' | 'peers' | 'stats'>;
  readonly forwards: () => readonly RunningForward[];
  readonly io: Pick<CliIo, 'timers' | 'wallClock' | 'pid'>;
}

/** How long a rate is measured, in milliseconds. */
const SAMPLE_MS = 500;

/**
 * The method `status` of the control socket. Called at the start of the process, from which it counts the
 * uptime.
 */
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
        network: handle.node.path,
        ...stats,
        inRate: rate(bytesIn - before.bytesIn),
        outRate: rate(bytesOut - before.bytesOut),
        peers: peerRows(handle.peers(), now),
        forwards: [...forwards()],
      };
    }),
  };
}
