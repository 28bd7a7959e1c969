import type { MessagePort } from 'node:worker_threads';

/** Wakes the thread at its other end. Rings may melt into one; none is lost. Never keeps a process alive. */
export interface Doorbell {
  /** Wakes the other thread: its callback is called soon, from its event loop. */
  ring(): void;
  /** What to do when the other thread rings. To be called once. */
  onRing(callback: () => void): void;
  /** Rings no more and is not rung any more. */
  close(): void;
}

/** One end of a `MessageChannel` as a doorbell: an empty message is a ring. */
export class PortDoorbell implements Doorbell {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  ring(): void {
    this.#port.postMessage(undefined);
  }

  onRing(callback: () => void): void {
    this.#port.on('message', callback);
    this.#port.unref(); // a listener on a port keeps the process alive
  }

  close(): void {
    this.#port.close();
  }
}
