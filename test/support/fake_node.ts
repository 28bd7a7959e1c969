import type { ChannelStats } from '../../src/bridge/contract.js';
import type { ChannelHandlers } from '../../src/bridge/node_channel.js';
import { NodeChannel } from '../../src/bridge/node_channel.js';
import type { Outcome } from '../../src/bridge/tox_node.js';
import { TunnelError } from '../../src/core/errors.js';
import type { PeerNode } from '../../src/peer/peer_port.js';

/** Lets promises that are ready continue. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * One channel of a {@link FakeNode}: outgoing frames are kept or handed on, and the test makes the incoming
 * ones.
 */
export class FakeChannel {
  readonly friend: number;
  readonly frameBytes: number;
  readonly tag: number;
  readonly handlers: ChannelHandlers;
  readonly channel: NodeChannel;
  /** Frames that were sent and that {@link onFrame} did not take. */
  frames: Uint8Array[] = [];
  onFrame: ((frame: Uint8Array) => void) | undefined;
  /** Number of frames that the channel accepts before it refuses. */
  room = Number.POSITIVE_INFINITY;
  inFlightBytes = 0;
  closed = false;
  /** Simulates the death of the worker. */
  isGone = false;
  #slot = new Uint8Array(0);

  constructor(id: number, friend: number, frameBytes: number, tag: number, handlers: ChannelHandlers) {
    this.friend = friend;
    this.frameBytes = frameBytes;
    this.tag = tag;
    this.handlers = handlers;
    const fake = this;
    this.channel = new NodeChannel(
      {
        get bytes() {
          return fake.#slot;
        },
        get isClosed() {
          return fake.isGone;
        },
        reserve: (_channel, _flags, bytes) => {
          if (this.isGone) throw new TunnelError('ERR_CLOSED', 'the ring to the other thread');
          if (this.frames.length >= this.room) return undefined;
          this.#slot = new Uint8Array(bytes);
          return 0;
        },
        commit: () => {
          if (this.closed) return;
          if (this.onFrame === undefined) this.frames.push(this.#slot);
          else this.onFrame(this.#slot);
        },
      },
      id,
    );
  }

  /** Takes the frames that were sent and returns their types. */
  takeTypes(): number[] {
    return this.frames.splice(0).map((frame) => frame[0]!);
  }

  /** Delivers frames as one batch. */
  deliver(...frames: Uint8Array[]): void {
    if (this.closed) return;
    for (const frame of frames) this.handlers.frame(frame);
    this.handlers.flush();
  }

  fail(error: TunnelError): void {
    this.closed = true;
    this.handlers.failed(error);
  }
}

/** Fakes the part of a Tox node that peers use. */
export class FakeNode implements PeerNode {
  /** Handshake packets that were sent. */
  sent: Uint8Array[] = [];
  onHandshake: ((packet: Uint8Array) => void) | undefined;
  outcome: Outcome = { code: 201, friend: 0 };
  readonly channels: FakeChannel[] = [];
  openError: Error | undefined;
  sendError: Error | undefined;
  onOpen: ((channel: FakeChannel) => void) | undefined;
  /** Pending answers to `openChannel`; the test resolves them. */
  held: (() => void)[] | undefined;
  #nextId = 0;

  /** The channels that are open now. */
  get open(): FakeChannel[] {
    return this.channels.filter(({ closed }) => !closed);
  }

  get newest(): FakeChannel {
    const channel = this.channels.at(-1);
    if (channel === undefined) throw new Error('no channel is open');
    return channel;
  }

  async sendHandshake(friend: number, packet: Uint8Array): Promise<Outcome> {
    await turn();
    if (this.sendError !== undefined) throw this.sendError;
    this.sent.push(packet);
    if (this.outcome.code === 201) this.onHandshake?.(packet);
    return { ...this.outcome, friend };
  }

  async openChannel(
    friend: number,
    frameBytes: number,
    tag: number,
    handlers: ChannelHandlers,
  ): Promise<NodeChannel> {
    const channel = new FakeChannel(this.#nextId++, friend, frameBytes, tag, handlers);
    if (this.openError === undefined) {
      this.channels.push(channel);
      this.onOpen?.(channel);
    }
    const { held } = this;
    if (held === undefined) await turn();
    else await new Promise<void>((resolve) => held.push(resolve));
    if (this.openError !== undefined) throw this.openError;
    return channel.channel;
  }

  async closeChannel(channel: NodeChannel): Promise<void> {
    const fake = this.#find(channel);
    if (fake !== undefined) fake.closed = true;
    await turn();
  }

  async channelStats(channel: NodeChannel): Promise<ChannelStats | undefined> {
    await turn();
    const fake = this.#find(channel);
    if (fake === undefined || fake.closed) return undefined;
    return {
      backlogBytes: 0,
      inFlightBytes: fake.inFlightBytes,
      framesOut: 0,
      framesIn: 0,
      roundTripMs: 0,
      packetsLost: 0,
    };
  }

  #find(channel: NodeChannel): FakeChannel | undefined {
    return this.channels.find((fake) => fake.channel === channel);
  }
}
