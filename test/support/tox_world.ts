import { readFileSync } from 'node:fs';
import { wasmFile } from '../../src/bridge/package_files.js';
import type { FriendNumber, Path } from '../../src/core/tox_network.js';
import { loadTox } from '../../src/worker/tox/load.js';
import type { BootstrapNode, Tox, ToxEvents, ToxModule, ToxOptions } from '../../src/worker/tox/tox.js';
import { type WasmModule, wasmApi } from '../../src/worker/tox/webassembly.js';
import { type SimHost, SimNetwork, type SimOptions } from './sim_network.js';

/** The built wasm, or another build to test: one without a patch, for example, to see its test fail. */
function wasmUnderTest(): string | URL {
  const { TOX_TEST_WASM: other } = process.env;
  return other ?? wasmFile();
}

let compiled: WasmModule | undefined;

/** tox.wasm, compiled once for all tests of a file. */
export function compiledTox(): WasmModule {
  compiled ??= new wasmApi.Module(readFileSync(wasmUnderTest()));
  return compiled;
}

export const UDP_PORT = 33_445;
export const TCP_PORT = 3389;

/** A Tox on its own simulated machine, and the callbacks that it received. */
export interface Person {
  readonly host: SimHost;
  readonly module: ToxModule;
  readonly tox: Tox;
  readonly selfPaths: Path[];
  readonly requests: { readonly publicKey: Uint8Array; readonly message: string }[];
  readonly friendPaths: [FriendNumber, Path][];
  readonly lossless: Uint8Array[];
  readonly lossy: Uint8Array[];
  readonly logs: string[];
}

/** A simulated network with toxcores on it; only {@link run} advances the time. */
export class ToxWorld {
  readonly sim: SimNetwork;
  readonly people: Person[] = [];
  readonly nodes: { readonly host: SimHost; readonly ip: string; readonly node: BootstrapNode }[] = [];
  readonly #network: string;
  #nextHost = 1;

  /** @param network the first three bytes of all addresses; not private ones by default */
  constructor(options?: SimOptions, network = '198.51.100') {
    this.sim = new SimNetwork(options);
    this.#network = network;
  }

  node(secretKey?: Uint8Array): {
    readonly ip: string;
    readonly node: BootstrapNode;
    readonly host: SimHost;
  } {
    const { host, ip } = this.machine();
    const options = { ipv6: false, udpPort: UDP_PORT, tcpPort: TCP_PORT, lanDiscovery: false };
    const node = loadTox(compiledTox(), host.toxHost()).createBootstrapNode(
      secretKey === undefined ? options : { ...options, secretKey },
      () => {},
    );
    const entry = { host, ip, node };
    this.nodes.push(entry);
    return entry;
  }

  person(options: Partial<ToxOptions> = {}, handlers: Partial<ToxEvents> = {}): Person {
    const { host } = this.machine();
    const module = loadTox(compiledTox(), host.toxHost());
    const person = {
      host,
      module,
      selfPaths: [],
      requests: [],
      friendPaths: [],
      lossless: [],
      lossy: [],
      logs: [],
    };
    const whole: Person = Object.assign(person, {
      tox: module.createTox(
        { udp: true, ipv6: false, udpPort: UDP_PORT, lanDiscovery: false, ...options },
        { ...recorder(person), ...handlers },
      ),
    });
    this.people.push(whole);
    return whole;
  }

  machine(): { readonly host: SimHost; readonly ip: string } {
    const ip = `${this.#network}.${this.#nextHost++}`;
    return { host: this.sim.host(ip), ip };
  }

  /** Iterates all, `stepMs` apart, until `done`. @returns false when `limitMs` passed first */
  run(done: () => boolean, limitMs: number, stepMs = 20): boolean {
    for (const end = this.sim.nowMs + limitMs; this.sim.nowMs < end; this.sim.nowMs += stepMs) {
      for (const { node } of this.nodes) node.iterate();
      for (const { tox } of this.people) tox.iterate();
      if (done()) return true;
    }
    return false;
  }

  close(): void {
    for (const { node } of this.nodes) node.kill();
    for (const { tox } of this.people) tox.kill();
  }
}

type Records = Omit<Person, 'host' | 'module' | 'tox'>;

function recorder(to: Records): ToxEvents {
  return {
    selfPath: (path) => to.selfPaths.push(path),
    friendRequest: (publicKey, message) =>
      to.requests.push({ publicKey: publicKey.slice(), message: Buffer.from(message).toString() }),
    friendPath: (friend, path) => to.friendPaths.push([friend, path]),
    losslessPacket: (_, packet) => to.lossless.push(packet.slice()),
    lossyPacket: (_, packet) => to.lossy.push(packet.slice()),
    log: (level, message) => to.logs.push(`${level} ${message}`),
  };
}
