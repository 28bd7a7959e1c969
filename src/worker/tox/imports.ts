import { TunnelError } from '../../core/errors.js';
import { PUBLIC_KEY_BYTES } from '../../core/tox_network.js';
import type { Family, SocketType } from '../net/network.js';
import { levelOf, pathOf } from './constants.js';
import type { Pointer } from './exports.js';
import type { Guard, Import } from './guard.js';
import { newAddress, readAddress, type WasmMemory, writeAddress } from './memory.js';
import type { Host, ToxEvents } from './tox.js';

/** Handlers by the id of the instance they belong to. */
export type EventTable = Map<number, ToxEvents>;

/**
 * The functions that the wasm imports (wasm/bridge.h): the host's clocks, randomness and network, and the dispatch of
 * events to their handlers. {@link Guard} keeps their exceptions out of C.
 *
 * @param memory returns the memory, which exists only after instantiation
 */
export function wasmImports(host: Host, guard: Guard, events: EventTable, memory: () => WasmMemory) {
  return {
    env: {
      emscripten_notify_memory_growth: () => memory().refresh(),
    },
    wasi_snapshot_preview1: wasiImports(guard),
    host: {
      ...wrapAll(clocks(host, memory), (call) => guard.wrapVitalImport(call)),
      panic: (at: Pointer, length: number): never => {
        const message = Buffer.from(memory().view(at, length)).toString();
        throw guard.crash(new TunnelError('ERR_TOX_CRASHED', message));
      },
      ...wrapAll(sockets(host, memory), (call) => guard.wrapImport(call)),
      // Here -1 would be read as a length.
      recv_buffered: guard.wrapImport((socket) => host.network.recvBuffered(socket), 0),
      ...wrapAll(handlers(events, memory), (call) => guard.wrapImport(call)),
    },
  };
}

/** All that remains of WASI: C's exit(), which only abort() calls. It ends the module, never the process. */
export function wasiImports(guard: Guard): { proc_exit(code: number): never } {
  return {
    proc_exit: (code) => {
      throw guard.crash(new TunnelError('ERR_TOX_CRASHED', `toxcore called abort() (code ${code})`));
    },
  };
}

/** Time and randomness. Without them toxcore must not continue: its keys would be zeros. */
function clocks(host: Host, memory: () => WasmMemory) {
  return {
    monotonic_ms: () => host.nowMs(),
    wall_ms: () => host.wallMs(),
    random: (at: Pointer, length: number) => host.random(memory().view(at, length)),
  };
}

/** toxcore's network calls. An error counts as "nothing now". */
function sockets({ network }: Host, memory: () => WasmMemory) {
  const address = newAddress();
  return {
    // toxcore passes only the numbers of net.h, and both sides use those.
    socket: (family: number, type: number) => network.socket(family as Family, type as SocketType),
    bind: (socket: number, at: Pointer) => {
      readAddress(memory().bytes, at, address);
      return network.bind(socket, address);
    },
    listen: (socket: number, backlog: number) => network.listen(socket, backlog),
    accept: (socket: number) => network.accept(socket),
    connect: (socket: number, at: Pointer) => {
      readAddress(memory().bytes, at, address);
      return network.connect(socket, address);
    },
    recv: (socket: number, at: Pointer, length: number) => network.recv(socket, memory().view(at, length)),
    recv_from: (socket: number, at: Pointer, length: number, from: Pointer) => {
      const received = network.recvFrom(socket, memory().sameView(at, length), address);
      if (received >= 0) writeAddress(memory().bytes, from, address);
      return received;
    },
    send: (socket: number, at: Pointer, length: number) => network.send(socket, memory().view(at, length)),
    send_to: (socket: number, at: Pointer, length: number, to: Pointer) => {
      readAddress(memory().bytes, to, address);
      return network.sendTo(socket, memory().view(at, length), address);
    },
    close: (socket: number) => network.close(socket),
  };
}

/** toxcore's events, by the id of their instance. */
function handlers(events: EventTable, memory: () => WasmMemory) {
  return {
    on_log: (id: number, level: number, where: Pointer, message: Pointer) =>
      events.get(id)?.log(levelOf(level), `${memory().text(where)}: ${memory().text(message)}`),
    on_self_path: (id: number, connection: number) => events.get(id)?.selfPath(pathOf(connection)),
    on_friend_request: (id: number, key: Pointer, message: Pointer, length: number) =>
      events.get(id)?.friendRequest(memory().view(key, PUBLIC_KEY_BYTES), memory().view(message, length)),
    on_friend_path: (id: number, friend: number, connection: number) =>
      events.get(id)?.friendPath(friend, pathOf(connection)),
    on_lossless: (id: number, friend: number, at: Pointer, length: number) =>
      events.get(id)?.losslessPacket(friend, memory().view(at, length)),
    on_lossy: (id: number, friend: number, at: Pointer, length: number) =>
      events.get(id)?.lossyPacket(friend, memory().view(at, length)),
  };
}

function wrapAll<Name extends string>(
  calls: Record<Name, Import>,
  wrap: (call: Import) => Import,
): Record<Name, Import> {
  // The result has the same names as the input.
  return Object.fromEntries(
    Object.entries<Import>(calls).map(([name, call]) => [name, wrap(call)]),
  ) as Record<Name, Import>;
}
