import { Session } from '../../src/mux/session/session.js';
import type { OpenRequest } from '../../src/mux/stream/stream_api.js';
import type { FrameSink } from '../../src/mux/wire/frame_sink.js';
import { BacklogGauge, BacklogTable, backlogBytes } from '../../src/ring/backlog.js';
import { BUNDLE_BYTES } from '../../src/worker/channel/packet.js';
import type { SimEnd, SimPath } from './sim_path.js';

/** Whole bundles fill it except for a few bytes; with another size a keystroke might fit into the rest. */
const BACKLOG_BYTES = 256 * 1024;

/**
 * Joins a session to one end of a simulated path, with the same backlog gauge as in the ring, but no ring.
 */
function simSession(
  { clock, random }: SimPath,
  end: SimEnd,
  role: 'connector' | 'listener',
  reserveBytes: number,
  onOpen: (request: OpenRequest) => void,
): Session {
  const memory = new SharedArrayBuffer(backlogBytes(1));
  const table = new BacklogTable(memory);
  const announce = (): void => {
    clock.after(0, () => {
      if (gauge.takeRoom()) session.writable();
    });
  };
  const gauge = new BacklogGauge(memory, 0, BACKLOG_BYTES, announce, reserveBytes);
  let reserved: { readonly frame: Uint8Array; readonly urgent: boolean; readonly lossy: boolean } | undefined;
  const sink: FrameSink & { framesSent: number; bytesSent: number } = {
    framesSent: 0,
    bytesSent: 0,
    reserve(bytes, urgent, lossy = false) {
      if (!gauge.fits(bytes, urgent)) return undefined;
      reserved = { frame: new Uint8Array(bytes), urgent, lossy };
      return reserved.frame;
    },
    commit() {
      if (reserved === undefined) throw new Error('commit without reserve');
      gauge.take(reserved.frame.length);
      if (!reserved.lossy) sink.framesSent++;
      sink.bytesSent += reserved.frame.length;
      end.send(reserved.frame, reserved.urgent, reserved.lossy);
    },
  };
  const random16 = (): Uint8Array => Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256));
  end.onDrained = (bytes) => {
    if (table.drained(0, bytes)) announce();
  };
  let flushing = false;
  end.onFrame = (frame) => {
    session.receive(frame);
    if (flushing) return;
    flushing = true;
    clock.after(0, () => {
      flushing = false;
      session.flush();
    });
  };
  const session: Session = new Session({
    sink,
    clock: { nowMs: () => clock.nowMs },
    random16,
    frameBytes: BUNDLE_BYTES,
    role,
    onOpen,
  });
  return session;
}

/** Two sessions over a path; `near` opens. @param reserveBytes of the backlog, only for urgent frames */
export function simSessions(
  path: SimPath,
  reserveBytes: number,
  onOpen: (request: OpenRequest) => void,
): { near: Session; far: Session } {
  const far = simSession(path, path.b, 'listener', reserveBytes, onOpen);
  const near = simSession(path, path.a, 'connector', reserveBytes, () => {});
  return { near, far };
}
