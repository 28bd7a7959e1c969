import { AccessPolicy } from '../../src/access/policy.js';
import type { MuxStream } from '../../src/mux/stream/stream_api.js';
import type { Reason } from '../../src/mux/wire/reasons.js';
import { TicketProver } from '../../src/peer/connector_peer.js';
import type { FakeNode } from './fake_node.js';
import { ConnectorBench, ListenerBench, PLAIN_TARGET } from './peer_bench.js';
import { seeded } from './sim_clock.js';
import { VirtualTimers } from './virtual_timers.js';

/** The two ends' public keys. */
export const KEYS = { connector: new Uint8Array(32).fill(0xcc), listener: new Uint8Array(32).fill(0x11) };

type End = 'connector' | 'listener';

/** How long a frame takes at least, and what chance adds to it: frames overtake each other. */
const FRAME_MS = 10;
const FRAME_JITTER_MS = 30;
const HANDSHAKE_MS = 20;

/**
 * A connector's and a listener's peer, joined by what two workers and a network would do between
 * them: handshakes that are lost with the connection, and channels that deliver each frame once,
 * in any order, also over an outage, to the channel of the same tag or to nobody.
 */
export class PeerWorld {
  readonly timers = new VirtualTimers();
  /** The listener's, whatever process it is. */
  readonly access: AccessPolicy;
  connector: ConnectorBench;
  listener: ListenerBench;
  readonly #patienceMs: number;
  readonly #random: () => number;
  /** Packets pass. */
  #up = true;
  /** Frames that wait for the end of an outage. */
  #waiting: (() => void)[] = [];

  constructor({ patienceMs = 0, seed = 1 }: { readonly patienceMs?: number; readonly seed?: number }) {
    this.#patienceMs = patienceMs;
    this.#random = seeded(seed);
    let secrets = 0;
    this.access = new AccessPolicy({
      wallMs: () => this.timers.nowMs(),
      newSecret: () => new Uint8Array(32).fill(++secrets),
    });
    this.connector = this.#newConnector();
    this.listener = this.#newListener();
  }

  /** Both see each other. */
  async online(): Promise<void> {
    this.#up = true;
    this.listener.peer.friendPath('udp');
    this.connector.peer.friendPath('udp');
    for (const arrive of this.#waiting.splice(0)) arrive();
    await this.pass(1_000);
  }

  /** Nothing passes, and nobody notices. */
  cut(): void {
    this.#up = false;
  }

  /** Nothing passes, and each end notices it so long after. */
  async outage(noticed: { readonly connectorMs?: number; readonly listenerMs?: number } = {}): Promise<void> {
    const { connectorMs = 0, listenerMs = 0 } = noticed;
    this.cut();
    await this.pass(Math.min(connectorMs, listenerMs));
    if (connectorMs <= listenerMs) this.connector.peer.friendPath('none');
    else this.listener.peer.friendPath('none');
    await this.pass(Math.abs(connectorMs - listenerMs));
    this.connector.peer.friendPath('none');
    this.listener.peer.friendPath('none');
  }

  /** One end alone sees the other go and come back; packets pass. */
  async flap(end: End, ms: number): Promise<void> {
    this[end].peer.friendPath('none');
    await this.pass(ms);
    this[end].peer.friendPath('udp');
  }

  /** The process of one end is gone, and another takes its place, which has yet to come online. */
  replace(end: End): void {
    this.#up = false;
    this.#waiting = [];
    const old = this[end];
    // As after SIGKILL: what it would still do is heard by nobody.
    old.node.onHandshake = undefined;
    for (const channel of old.node.open) channel.closed = true;
    if (end === 'connector') this.connector = this.#newConnector();
    else this.listener = this.#newListener();
  }

  async pass(ms: number): Promise<void> {
    await this.connector.pass(ms, 5);
  }

  /** Passes time until `met`, for `mostMs` at most. @returns whether it was */
  async until(met: () => boolean, mostMs: number): Promise<boolean> {
    const endMs = this.timers.nowMs() + mostMs;
    for (;;) {
      if (met()) return true;
      if (this.timers.nowMs() >= endMs) return false;
      await this.pass(5);
    }
  }

  #newConnector(): ConnectorBench {
    // The ticket of the beginning, also when the listener has another by now.
    const prover = new TicketProver(new Uint8Array(32).fill(1), KEYS);
    const bench = new ConnectorBench({ patienceMs: this.#patienceMs, timers: this.timers, prover });
    this.#wire(bench.node, 'listener');
    return bench;
  }

  #newListener(): ListenerBench {
    const bench = new ListenerBench({
      patienceMs: this.#patienceMs,
      timers: this.timers,
      onHello: (proof, sessions, resumes) => this.access.hello(proof, KEYS, sessions, resumes),
    });
    this.#wire(bench.node, 'connector');
    return bench;
  }

  #wire(node: FakeNode, to: End): void {
    node.onHandshake = (packet) => {
      if (!this.#up) return;
      this.timers.set(() => {
        if (this.#up && this[to].peer.currentPath !== 'none') void this[to].peer.handshake(packet);
      }, HANDSHAKE_MS);
    };
    node.onOpen = (channel) => {
      channel.onFrame = (frame) => {
        channel.inFlightBytes += frame.length;
        const arrive = (): void => {
          if (channel.closed) return;
          if (!this.#up) {
            this.#waiting.push(arrive);
            return;
          }
          channel.inFlightBytes -= frame.length;
          // The view is good during the call alone.
          const copy = frame.slice();
          this[to].node.open.find(({ tag }) => tag === channel.tag)?.deliver(copy);
          copy.fill(0xee);
        };
        this.timers.set(arrive, FRAME_MS + this.#random() * FRAME_JITTER_MS);
      };
    };
  }
}

/** A stream to a target that sends everything back, and what came back through it. */
export class EchoStream {
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  ended = false;
  /** Why it was cut short at each end, and whether by the other one. */
  readonly resets: { readonly end: End; readonly reason: Reason; readonly remote: boolean }[] = [];
  readonly #pieces: Iterator<Uint8Array>;
  #near: MuxStream | undefined;

  /** Opens it; answered by the next request that the listener has got. */
  constructor(world: PeerWorld, pieces: Iterable<Uint8Array>) {
    const { session } = world.connector;
    if (session === undefined) throw new Error('there is no session');
    this.#pieces = pieces[Symbol.iterator]();
    this.#near = session.open(PLAIN_TARGET, {
      onOpened: () => this.#write(),
      onDrain: () => this.#write(),
      onData: (chunk) => {
        this.received.push(chunk);
        this.receivedBytes += chunk.length;
        this.#near?.consumed(chunk.length);
      },
      onEnd: () => {
        this.ended = true;
      },
      onReset: (reason, remote) => this.resets.push({ end: 'connector', reason, remote }),
    });
  }

  /** The UUID as it stands in frames. */
  get idBytes(): Uint8Array {
    return Uint8Array.from(Buffer.from((this.#near?.id ?? '').replaceAll('-', ''), 'hex'));
  }

  /** Answers the request for it, if it has come. */
  accept(world: PeerWorld): boolean {
    const request = world.listener.requests.shift();
    if (request === undefined || request.isCancelled) return false;
    let waiting = 0;
    const far = request.accept({
      onData: (chunk) => {
        // What was not taken is not confirmed, so the window bounds what waits here.
        if (far.write(chunk)) far.consumed(chunk.length);
        else waiting += chunk.length;
      },
      onDrain: () => {
        const bytes = waiting;
        waiting = 0;
        far.consumed(bytes);
      },
      onEnd: () => far.end(),
      onReset: (reason, remote) => this.resets.push({ end: 'listener', reason, remote }),
    });
    return true;
  }

  #write(): void {
    for (;;) {
      const { value, done } = this.#pieces.next();
      if (done === true) {
        this.#near?.end();
        return;
      }
      if (this.#near?.write(value) !== true) return;
    }
  }
}
