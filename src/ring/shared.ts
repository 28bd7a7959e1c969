import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { MAX_PEERS, RING_BYTES } from '../core/limits.js';
import { backlogBytes } from './backlog.js';
import type { BellPort } from './doorbell.js';
import { allocateRing } from './ring.js';
import { WAKE_BYTES } from './wake_words.js';

/** What one thread needs to talk to the other. Plain data, suitable for `workerData`. */
export interface SharedMemory {
  /** Ring from main to worker. */
  readonly outbound: SharedArrayBuffer;
  /** Ring from worker to main. */
  readonly inbound: SharedArrayBuffer;
  /** How far each channel is behind the main thread: see backlog.ts. */
  readonly backlog: SharedArrayBuffer;
  /** Wake-up flags of the outbound ring, then of the inbound ring. */
  readonly wake: SharedArrayBuffer;
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

/**
 * Allocates the memory between the main thread and one worker:
 * `new Worker(url, { workerData: pair.worker, transferList: [...pair.transferList] })`.
 *
 * @param capacityBytes of each ring, a power of two from 64 to 2^30. Default {@link RING_BYTES}
 */
export function allocateShared(capacityBytes = RING_BYTES): SharedPair {
  const buffers = {
    outbound: allocateRing(capacityBytes),
    inbound: allocateRing(capacityBytes),
    backlog: new SharedArrayBuffer(backlogBytes(MAX_PEERS)),
    wake: new SharedArrayBuffer(2 * WAKE_BYTES),
  };
  const { port1, port2 } = new MessageChannel();
  return {
    main: { ...buffers, bell: port1 },
    worker: { ...buffers, bell: port2 },
    transferList: [port2],
  };
}
