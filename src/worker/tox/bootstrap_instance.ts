import { TunnelError } from '../../core/errors.js';
import { PUBLIC_KEY_BYTES, SECRET_KEY_BYTES } from '../../core/tox_network.js';
import type { Pointer } from './exports.js';
import type { Bridge } from './instance.js';
import type { BootstrapNode } from './tox.js';

/** A {@link BootstrapNode} over the wasm. */
export class BootstrapInstance implements BootstrapNode {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
  readonly #bridge: Bridge;
  readonly #id: number;
  #node: Pointer;

  /** @param node what node_create gave; belongs to this object from now on */
  constructor(bridge: Bridge, id: number, node: Pointer) {
    this.#bridge = bridge;
    this.#id = id;
    this.#node = node;
    const { wasm, staging } = bridge;
    wasm.node_identity(node);
    this.publicKey = staging.take(0, PUBLIC_KEY_BYTES);
    this.secretKey = staging.take(PUBLIC_KEY_BYTES, SECRET_KEY_BYTES);
  }

  isConnected(): boolean {
    return this.#bridge.wasm.node_is_connected(this.#live()) === 1;
  }

  bootstrap(ip: string, port: number, dhtKey: Uint8Array): boolean {
    const node = this.#live();
    const { wasm, staging } = this.#bridge;
    return staging.putNode(ip, port, dhtKey) && wasm.node_bootstrap(node, port) === 1;
  }

  iterate(): void {
    this.#bridge.wasm.node_iterate(this.#live());
  }

  poll(): void {
    this.#bridge.wasm.node_poll(this.#live());
  }

  kill(): void {
    if (this.#node === 0) return;
    const node = this.#node;
    const { wasm, guard, events } = this.#bridge;
    this.#node = 0;
    events.delete(this.#id);
    guard.whenOutside(() => wasm.node_kill(node));
  }

  #live(): Pointer {
    if (this.#node === 0) throw new TunnelError('ERR_CLOSED', 'this bootstrap node was killed');
    return this.#node;
  }
}
