import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { DEFAULT_PEERS, RING_BYTES } from '../core/limits.js';
import { backlogBytes } from './backlog.js';
import type { BellPort } from './doorbell.js';
import { Pulse } from './pulse.js';
import { allocateRing } from './ring.js';
import { WAKE_BYTES } from './wake_words.js';

/** What one thread needs to talk to the other. Plain data, suitable for `workerData`. */
export interface SharedMemory {
  /** Ring from main to worker. */
  readonly outbound: SharedArrayBuffer;
  /** Ring from worker to main. */
  readonly inbound: SharedArrayBuffer;
  /** How far each channel is behind the main thread, a row for each: see backlog.ts. */
  readonly backlog: SharedArrayBuffer;
  /** Wake-up flags of the outbound ring, then of the inbound ring. */
  readonly wake: SharedArrayBuffer;
  /** Advances with each turn of the worker: see pulse.ts. */
  readonly pulse: SharedArrayBuffer;
  /** This thread's end of the doorbell. */
  readonly bell: BellPort;
}

/** Memory for both threads; see {@link allocateShared}. */
export interface SharedPair {
  /** For {@link MainRings}. */
  readonly main: SharedMemory;
  /** For {@link WorkerRings}, through `workerData`. */
  readonly worker: SharedMemory;
  /** For the worker's `transferList`. */
  readonly transferList: readonly MessagePort[];
}

export interface SharedSizes {
  /** Channels that may be open at once, 1 to 65,536. Each takes 16 bytes. Default {@link DEFAULT_PEERS}. */
  readonly channels?: number | undefined;
  /** Of each ring, a power of two from 64 to 2^30. Default {@link RING_BYTES}. */
  readonly capacityBytes?: number;
}

/**
 * Allocates the memory between the main thread and one worker:
 * `new Worker(url, { workerData: pair.worker, transferList: [...pair.transferList] })`.
 */
export function allocateShared({
  channels = DEFAULT_PEERS,
  capacityBytes = RING_BYTES,
}: SharedSizes = {}): SharedPair {
  // Channel ids have 24 bits: with more slots, an id would soon be reused.
  if (!(Number.isInteger(channels) && channels >= 1 && channels <= 2 ** 16)) {
    throw new RangeError(`there can be 1 to 2^16 channels, not ${channels}`);
  }
  const buffers = {
    outbound: allocateRing(capacityBytes),
    inbound: allocateRing(capacityBytes),
    backlog: new SharedArrayBuffer(backlogBytes(channels)),
    wake: new SharedArrayBuffer(2 * WAKE_BYTES),
    pulse: new SharedArrayBuffer(Pulse.bytes),
  };
  const { port1, port2 } = new MessageChannel();
  return {
    main: { ...buffers, bell: port1 },
    worker: { ...buffers, bell: port2 },
    transferList: [port2],
  };
}
