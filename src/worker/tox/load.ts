import { readFile } from 'node:fs/promises';
import { TunnelError } from '../../core/errors.js';
import { NOSPAM_BYTES, PUBLIC_KEY_BYTES, SECRET_KEY_BYTES } from '../../core/tox_network.js';
import { TOX_CONSTANTS as T } from './constants.js';
import type { BridgeExports, BridgeFunctions } from './exports.js';
import { Guard } from './guard.js';
import { wasmImports } from './imports.js';
import { BootstrapInstance, type Bridge, ToxInstance } from './instances.js';
import { Staging, WasmMemory } from './memory.js';
import type { BootstrapNodeOptions, Host, ToxEvents, ToxModule, ToxOptions } from './tox.js';
import { type WasmModule, wasmApi } from './webassembly.js';

/**
 * Reads the built wasm.
 *
 * @throws {TunnelError} ERR_WASM_MISSING when it cannot be read
 */
export async function readWasm(url: URL): Promise<Uint8Array> {
  try {
    return await readFile(url);
  } catch (error) {
    const advice =
      'in a checkout, run npm run wasm; in an installed package, install it again; ' +
      'in a bundle, copy it there or name it as `files.wasm` (docs/how-to/node-programs.md)';
    throw new TunnelError('ERR_WASM_MISSING', `${url.pathname} cannot be read: ${advice}`, { cause: error });
  }
}

/**
 * Instantiates the wasm on this thread, which takes some milliseconds.
 *
 * @param wasm bytes of tox.wasm, or the module compiled from them
 */
export function loadTox(wasm: Uint8Array | WasmModule, host: Host): ToxModule {
  return new LoadedTox(wasm instanceof Uint8Array ? new wasmApi.Module(wasm) : wasm, host);
}

class LoadedTox implements ToxModule {
  readonly #memory: WasmMemory;
  readonly #bridge: Bridge;
  #nextId = 1;

  constructor(module: WasmModule, host: Host) {
    const guard = new Guard();
    const events = new Map<number, ToxEvents>();
    const imports = wasmImports(host, guard, events, () => this.#memory);
    // The contract test compares the binary with this interface.
    const exports = new wasmApi.Instance(module, imports).exports as unknown as BridgeExports;
    this.#memory = new WasmMemory(exports.memory);
    const wasm = guarded(exports, guard);
    wasm._initialize();
    wasm.bridge_init();
    this.#bridge = { wasm, guard, events, staging: new Staging(this.#memory, wasm.bridge_staging()) };
  }

  createTox(options: ToxOptions, events: ToxEvents): ToxInstance {
    const { wasm, staging } = this.#bridge;
    const { secretKey, nospam } = options;
    checkBytes('secret key', secretKey, SECRET_KEY_BYTES);
    checkBytes('nospam', nospam, NOSPAM_BYTES);
    if (options.udp) checkPort('UDP', options.udpPort);
    if (secretKey !== undefined) staging.put(secretKey);
    if (nospam !== undefined) staging.put(nospam, SECRET_KEY_BYTES);
    const flags =
      (options.udp ? T.FLAG_UDP : 0) |
      (options.ipv6 ? T.FLAG_IPV6 : 0) |
      (options.lanDiscovery ? T.FLAG_LAN_DISCOVERY : 0) |
      (secretKey === undefined ? 0 : T.FLAG_SECRET_KEY) |
      (nospam === undefined ? 0 : T.FLAG_NOSPAM);
    const port = options.udp ? options.udpPort : 0;
    return this.#create(
      events,
      (id) => wasm.instance_create(id, flags, port),
      (id, tox) => new ToxInstance(this.#bridge, id, tox),
      `UDP port ${port}`,
    );
  }

  createBootstrapNode(options: BootstrapNodeOptions, log: ToxEvents['log']): BootstrapInstance {
    const { wasm, staging } = this.#bridge;
    const { secretKey, udpPort, tcpPort } = options;
    checkBytes('secret key', secretKey, SECRET_KEY_BYTES);
    checkPort('UDP', udpPort);
    if (tcpPort !== 0) checkPort('TCP', tcpPort);
    if (secretKey !== undefined) staging.put(secretKey);
    const flags =
      (options.ipv6 ? T.FLAG_IPV6 : 0) |
      (options.lanDiscovery ? T.FLAG_LAN_DISCOVERY : 0) |
      (secretKey === undefined ? 0 : T.FLAG_SECRET_KEY);
    return this.#create(
      logOnly(log),
      (id) => wasm.node_create(id, flags, udpPort, tcpPort),
      (id, node) => new BootstrapInstance(this.#bridge, id, node),
      tcpPort === 0 ? `UDP port ${udpPort}` : `UDP port ${udpPort} or TCP port ${tcpPort}`,
    );
  }

  memoryBytes(): number {
    return this.#memory.bytes.length;
  }

  allocatedBytes(): number {
    return this.#bridge.wasm.bridge_allocated_bytes();
  }

  constants(): ReadonlyMap<string, number> {
    const { wasm } = this.#bridge;
    const values = new Map<string, number>();
    for (let index = 0; ; index++) {
      const name = wasm.bridge_constant_name(index);
      if (name === 0) return values;
      values.set(this.#memory.text(name), wasm.bridge_constant_value(index));
    }
  }

  seal(key: Uint8Array, nonce: Uint8Array, message: Uint8Array): Uint8Array {
    const { wasm, staging } = this.#bridge;
    const at = PUBLIC_KEY_BYTES + nonce.length;
    staging.put(key);
    staging.put(nonce, PUBLIC_KEY_BYTES);
    if (!staging.put(message, at) || wasm.bridge_seal(message.length) !== 0) {
      throw new RangeError(`${message.length} bytes are too many to encrypt`);
    }
    return staging.take(at, message.length + 16);
  }

  #create<Instance>(
    events: ToxEvents,
    create: (id: number) => number,
    own: (id: number, pointer: number) => Instance,
    ports: string,
  ): Instance {
    const { staging, guard } = this.#bridge;
    if (guard.inside) throw new TunnelError('ERR_TOX_BUSY', 'a handler tried to create another instance');
    const id = this.#nextId++;
    // Registered first, because the instance logs from its first moment.
    this.#bridge.events.set(id, events);
    try {
      const pointer = create(id);
      if (pointer > 0) return own(id, pointer);
      throw new TunnelError('ERR_TOX_START', startReason(-pointer, ports));
    } catch (error) {
      this.#bridge.events.delete(id);
      throw error;
    } finally {
      // The buffer held a secret key.
      staging.wipe();
    }
  }
}

/** Handlers for a bootstrap node, which only logs. */
function logOnly(log: ToxEvents['log']): ToxEvents {
  const nothing = () => {};
  return {
    log,
    selfPath: nothing,
    friendRequest: nothing,
    friendPath: nothing,
    losslessPacket: nothing,
    lossyPacket: nothing,
  };
}

function guarded(exports: BridgeExports, guard: Guard): BridgeFunctions {
  const functions = Object.entries(exports).filter(([, value]) => typeof value === 'function');
  // Names and signatures are the same: the wrapper passes up to four numbers on and returns the result.
  return Object.fromEntries(
    functions.map(([name, value]) => [name, guard.wrapExport(value)]),
  ) as unknown as BridgeFunctions;
}

function startReason(error: number, ports: string): string {
  if (error === T.TOX_ERR_NEW_PORT_ALLOC) return `${ports} is not available; choose another`;
  if (error === T.TOX_ERR_NEW_MALLOC) return 'there is no memory left; stop other instances first';
  return `toxcore reports error ${error}`;
}

function checkBytes(what: string, bytes: Uint8Array | undefined, length: number): void {
  if (bytes === undefined || bytes.length === length) return;
  throw new TunnelError('ERR_TOX_START', `a ${what} has ${length} bytes, not ${bytes.length}`);
}

function checkPort(what: string, port: number): void {
  if (Number.isInteger(port) && port >= 1 && port <= 65535) return;
  throw new TunnelError('ERR_TOX_START', `${port} is not a ${what} port; choose one from 1 to 65535`);
}
