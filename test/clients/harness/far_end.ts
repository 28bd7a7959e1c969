import { BroadcastChannel } from 'node:worker_threads';
import {
  type BootstrapNode,
  type Connector,
  connect,
  createBootstrapNode,
  type Listener,
  listen,
  type Offer,
  type TunnelStream,
} from '../../../src/index.js';
import { workerUrl } from '../../support/build.js';
import { LOOPBACK_HOST } from '../../support/loopback.js';

const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false } as const;
/** The worker of the listener dies when it is told to. */
const files = { worker: workerUrl(new URL('../../support/dying_worker.ts', import.meta.url)) };

interface Served {
  readonly offer: Offer;
  readonly serve: (stream: TunnelStream) => void;
}

/**
 * The other end of the tunnel, in this process: a private bootstrap node, and a listener whose thread can die without
 * a goodbye. The next listener has the same identity and the same ticket.
 */
export class FarEnd {
  readonly #served: Served[] = [];
  readonly #ports: number[] = [];
  readonly #ends: (() => unknown)[] = [];
  readonly #first: BootstrapNode;
  #listener: Listener | undefined;

  private constructor(first: BootstrapNode) {
    this.#first = first;
  }

  static async start(): Promise<FarEnd> {
    return new FarEnd(await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0 }));
  }

  /** Serves streams to a name, without a port. Call it before {@link listen}. */
  offer(offer: Offer, serve: (stream: TunnelStream) => void): void {
    this.#served.push({ offer, serve });
  }

  /** Lets peers reach a port of the loopback, which the far end dials. Call it before {@link listen}. */
  dialled(port: number): void {
    this.#ports.push(port);
  }

  /** Registers what stops a server. */
  atEnd(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** Starts the listener; the next one has the identity and the tickets of the one before. */
  async listen(): Promise<void> {
    const { identity, access } = this.#listener ?? {};
    const listener = await listen({
      ...LOCAL,
      ...(identity && access && { identity, access: access.state }),
      bootstrap: this.#bootstrap,
      files,
      offer: this.#served.map(({ offer }) => offer),
      expose: this.#ports.map((port) => `localhost:${port}`),
    });
    listener.on('stream', (stream, { host, port }) => {
      this.#served.find(({ offer }) => offer.host === host && offer.port === port)?.serve(stream);
    });
    this.#listener = listener;
  }

  async connect(): Promise<Connector> {
    const remote = this.#listener?.ticket ?? '';
    return await connect({ ...LOCAL, bootstrap: this.#bootstrap, remote });
  }

  /** The listener's thread dies; nobody says goodbye. */
  async lose(): Promise<void> {
    const listener = this.#listener;
    if (listener === undefined) throw new Error('there is no listener to lose');
    const died = new Promise<void>((resolve) => void listener.once('error', () => resolve()));
    const death = new BroadcastChannel('die');
    death.postMessage('now');
    await died;
    death.close();
    await listener.close();
  }

  async stop(): Promise<void> {
    await this.#listener?.close();
    for (const end of this.#ends) await end();
    await this.#first.close();
  }

  get #bootstrap(): string[] {
    return [`${LOOPBACK_HOST}:${this.#first.udpPort}:${this.#first.publicKey}`];
  }
}
