import { AccessPolicy } from '../../src/access/policy.js';
import type { MuxStream } from '../../src/mux/stream/stream_api.js';
import type { Reason } from '../../src/mux/wire/reasons.js';
import { TicketProver } from '../../src/peer/connector_peer.js';
import type { FakeNode } from './fake_node.js';
import { ConnectorBench, ListenerBench, PLAIN_TARGET } from './peer_bench.js';
import { seeded } from './sim_clock.js';
import { VirtualTimers } from './virtual_timers.js';

/** The public keys of the two ends. */
export const KEYS = { connector: new Uint8Array(32).fill(0xcc), listener: new Uint8Array(32).fill(0x11) };

type End = 'connector' | 'listener';

/** The minimum delay of a frame, and the random extra, so that frames overtake each other. */
const FRAME_MS = 10;
const FRAME_JITTER_MS = 30;
const HANDSHAKE_MS = 20;

/**
 * The peers of a connector and a listener, joined by a simulation of two workers and a network. Handshake
 * packets are lost with the connection. Channels deliver each frame once, in any order, even across an
 * outage, to the channel with the same tag or to none.
 */
export class PeerWorld {
  readonly timers = new VirtualTimers();
  /** The listener's public key, the same for each of its processes. */
  readonly access: AccessPolicy;
  connector: ConnectorBench;
  listener: ListenerBench;
  readonly #patienceMs: number;
  readonly #random: () => number;
  /** Whether packets pass. */
  #up = true;
  /** Frames held until an outage ends. */
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

  /** Makes both ends see each other. */
  async online(): Promise<void> {
    this.#up = true;
    this.listener.peer.friendPath('udp');
    this.connector.peer.friendPath('udp');
    for (const arrive of this.#waiting.splice(0)) arrive();
    await this.pass(1_000);
  }

  /** Stops all packets without either end noticing. */
  cut(): void {
    this.#up = false;
  }

  /** Stops all packets; each end notices after the given time. */
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

  /** Only one end sees the other go offline and come back; packets pass. */
  async flap(end: End, ms: number): Promise<void> {
    this[end].peer.friendPath('none');
    await this.pass(ms);
    this[end].peer.friendPath('udp');
  }

  /** Kills the process of one end and starts another in its place, which is not online yet. */
  replace(end: End): void {
    this.#up = false;
    this.#waiting = [];
    const old = this[end];
    // As after SIGKILL: its later actions reach no other end.
    old.node.onHandshake = undefined;
    for (const channel of old.node.open) channel.closed = true;
    if (end === 'connector') this.connector = this.#newConnector();
    else this.listener = this.#newListener();
  }

  async pass(ms: number): Promise<void> {
    await this.connector.pass(ms, 5);
  }

  /** Lets time pass until `met`, for at most `mostMs`. @returns whether `met` became true */
  async until(met: () => boolean, mostMs: number): Promise<boolean> {
    const endMs = this.timers.nowMs() + mostMs;
    for (;;) {
      if (met()) return true;
      if (this.timers.nowMs() >= endMs) return false;
      await this.pass(5);
    }
  }

  #newConnector(): ConnectorBench {
    // The ticket from the start, even when the listener has another by now.
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
          // The view is valid only during the call.
          const copy = frame.slice();
          this[to].node.open.find(({ tag }) => tag === channel.tag)?.deliver(copy);
          copy.fill(0xee);
        };
        this.timers.set(arrive, FRAME_MS + this.#random() * FRAME_JITTER_MS);
      };
    };
  }
}

/** A stream to an echo target, and the bytes that came back through it. */
export class EchoStream {
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  ended = false;
  /** Why the stream was reset at each end, and whether the other end caused it. */
  readonly resets: { readonly end: End; readonly reason: Reason; readonly remote: boolean }[] = [];
  readonly #pieces: Iterator<Uint8Array>;
  #near: MuxStream | undefined;

  /** Opens the stream; {@link accept} answers it at the listener. */
  constructor(world: PeerWorld, pieces: Iterable<Uint8Array>) {
    const { session } = world.connector;
    if (session === undefined) throw new Error('no session is open');
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

  /** The UUID as it appears in frames. */
  get idBytes(): Uint8Array {
    return Uint8Array.from(Buffer.from((this.#near?.id ?? '').replaceAll('-', ''), 'hex'));
  }

  /** Accepts the next request at the listener, if one has arrived. */
  accept(world: PeerWorld): boolean {
    const request = world.listener.requests.shift();
    if (request === undefined || request.isCancelled) return false;
    let waiting = 0;
    const far = request.accept({
      onData: (chunk) => {
        // Bytes that were not taken are not confirmed, so the window bounds what waits here.
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
