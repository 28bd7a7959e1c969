import type { ChannelStart, ChannelStats } from '../../src/bridge/contract.js';
import type { ChannelHandlers, Outcome, PeerChannel } from '../../src/bridge/tox_node.js';
import type { TunnelError } from '../../src/core/errors.js';
import type { PeerNode } from '../../src/peer/peer_session.js';
import { CountingSink } from './mux_link.js';

/** Lets promises that are ready continue. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * One channel of a {@link FakeNode}: outgoing frames are kept or handed on, and the test makes the incoming
 * ones.
 */
export class FakeChannel extends CountingSink implements PeerChannel {
  readonly friend: number;
  readonly frameBytes: number;
  readonly tag: number;
  /** The Tox session in which the peer has proven itself. */
  binding: Uint8Array;
  readonly handlers: ChannelHandlers;
  readonly sink = this;
  /** Frames that were sent and that {@link onFrame} did not take. */
  frames: Uint8Array[] = [];
  onFrame: ((frame: Uint8Array) => void) | undefined;
  /** Number of frames that the channel accepts before it refuses. */
  room = Number.POSITIVE_INFINITY;
  inFlightBytes = 0;
  closed = false;
  /** Simulates the death of the worker. */
  isGone = false;
  /** Simulates a worker that hangs: no call is answered. */
  hangs = false;
  #slot = new Uint8Array(0);

  constructor(
    friend: number,
    frameBytes: number,
    tag: number,
    binding: Uint8Array,
    handlers: ChannelHandlers,
  ) {
    super();
    this.friend = friend;
    this.frameBytes = frameBytes;
    this.tag = tag;
    this.binding = binding;
    this.handlers = handlers;
  }

  reserve(bytes: number): Uint8Array | undefined {
    if (this.isGone || this.frames.length >= this.room) return undefined;
    this.#slot = new Uint8Array(bytes);
    return this.#slot;
  }

  commit(): void {
    this.count(this.#slot);
    if (this.closed) return;
    if (this.onFrame === undefined) this.frames.push(this.#slot);
    else this.onFrame(this.#slot);
  }

  rebind(binding: Uint8Array): void {
    this.binding = binding;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.#answered();
  }

  async stats(): Promise<ChannelStats | undefined> {
    await this.#answered();
    if (this.closed) return undefined;
    return {
      backlogBytes: 0,
      inFlightBytes: this.inFlightBytes,
      framesOut: 0,
      framesIn: 0,
      roundTripMs: 0,
      packetsLost: 0,
    };
  }

  async #answered(): Promise<void> {
    await turn();
    if (this.hangs) await new Promise(() => {});
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
  /** The Tox session with the peer. */
  binding: Uint8Array | undefined = new Uint8Array(32).fill(0xb1);
  openError: Error | undefined;
  sendError: Error | undefined;
  onOpen: ((channel: FakeChannel) => void) | undefined;
  /** Pending answers to `openChannel`; the test resolves them. */
  held: (() => void)[] | undefined;

  /** The channels that are open now. */
  get open(): FakeChannel[] {
    return this.channels.filter(({ closed }) => !closed);
  }

  get newest(): FakeChannel {
    const channel = this.channels.at(-1);
    if (channel === undefined) throw new Error('no channel is open');
    return channel;
  }

  sessionBinding(): Uint8Array | undefined {
    return this.binding;
  }

  readonly worker = {
    sendHandshake: async (friend: number, packet: Uint8Array): Promise<Outcome> => {
      await turn();
      if (this.sendError !== undefined) throw this.sendError;
      this.sent.push(packet);
      if (this.outcome.code === 201) this.onHandshake?.(packet);
      return { ...this.outcome, friend };
    },
  };

  async openChannel(
    friend: number,
    { frameBytes, tag, binding }: ChannelStart,
    handlers: ChannelHandlers,
  ): Promise<PeerChannel> {
    const channel = new FakeChannel(friend, frameBytes, tag, binding, handlers);
    if (this.openError === undefined) {
      this.channels.push(channel);
      this.onOpen?.(channel);
    }
    const { held } = this;
    if (held === undefined) await turn();
    else await new Promise<void>((resolve) => held.push(resolve));
    if (this.openError !== undefined) throw this.openError;
    return channel;
  }
}
