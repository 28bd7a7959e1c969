import { TunnelError } from '../../core/errors.js';
import type { Family, SocketType } from '../net/network.js';
import { levelOf, pathOf } from './constants.js';
import type { Pointer } from './exports.js';
import type { Guard } from './guard.js';
import { newAddress, readAddress, type WasmMemory, writeAddress } from './memory.js';
import type { Host, ToxEvents } from './tox.js';

/** Handlers by the id of the instance they belong to. */
export type EventTable = Map<number, ToxEvents>;

/**
 * The functions that the wasm imports (wasm/bridge.h): the host's clocks, randomness and network,
 * and the way of events to their handlers. None lets an exception through C, see {@link Guard}.
 *
 * @param memory gives the memory, which is there only after instantiation
 */
export function wasmImports(host: Host, guard: Guard, events: EventTable, memory: () => WasmMemory) {
  const { network } = host;
  const address = newAddress();

  // toxcore cannot go on without time or randomness: what would it do with a key of zeros?
  const orCrash = <Result>(action: () => Result): Result => {
    try {
      return action();
    } catch (error) {
      throw guard.crash(error);
    }
  };
  const nowMs = () => host.nowMs();
  const wallMs = () => host.wallMs();

  return {
    env: {
      emscripten_notify_memory_growth: () => memory().refresh(),
    },
    wasi_snapshot_preview1: wasiImports(guard),
    host: {
      monotonic_ms: () => orCrash(nowMs),
      wall_ms: () => orCrash(wallMs),
      random: (at: Pointer, length: number) => orCrash(() => host.random(memory().view(at, length))),
      panic: (at: Pointer, length: number): never => {
        const message = Buffer.from(memory().view(at, length)).toString();
        throw guard.crash(new TunnelError('ERR_TOX_CRASHED', message));
      },

      socket: (family: number, type: number) => {
        try {
          // toxcore asks for nothing but what net.h numbers, and both sides number alike.
          return network.socket(family as Family, type as SocketType);
        } catch (error) {
          return guard.keep(error);
        }
      },
      bind: (socket: number, at: Pointer) => {
        try {
          readAddress(memory().bytes, at, address);
          return network.bind(socket, address);
        } catch (error) {
          return guard.keep(error);
        }
      },
      listen: (socket: number, backlog: number) => {
        try {
          return network.listen(socket, backlog);
        } catch (error) {
          return guard.keep(error);
        }
      },
      accept: (socket: number) => {
        try {
          return network.accept(socket);
        } catch (error) {
          return guard.keep(error);
        }
      },
      connect: (socket: number, at: Pointer) => {
        try {
          readAddress(memory().bytes, at, address);
          return network.connect(socket, address);
        } catch (error) {
          return guard.keep(error);
        }
      },
      recv_buffered: (socket: number) => {
        try {
          return network.recvBuffered(socket);
        } catch (error) {
          guard.keep(error);
          return 0;
        }
      },
      recv: (socket: number, at: Pointer, length: number) => {
        try {
          return network.recv(socket, memory().view(at, length));
        } catch (error) {
          return guard.keep(error);
        }
      },
      recv_from: (socket: number, at: Pointer, length: number, from: Pointer) => {
        try {
          const received = network.recvFrom(socket, memory().sameView(at, length), address);
          if (received >= 0) writeAddress(memory().bytes, from, address);
          return received;
        } catch (error) {
          return guard.keep(error);
        }
      },
      send: (socket: number, at: Pointer, length: number) => {
        try {
          return network.send(socket, memory().view(at, length));
        } catch (error) {
          return guard.keep(error);
        }
      },
      send_to: (socket: number, at: Pointer, length: number, to: Pointer) => {
        try {
          readAddress(memory().bytes, to, address);
          return network.sendTo(socket, memory().view(at, length), address);
        } catch (error) {
          return guard.keep(error);
        }
      },
      close: (socket: number) => {
        try {
          return network.close(socket);
        } catch (error) {
          return guard.keep(error);
        }
      },

      on_log: (id: number, level: number, where: Pointer, message: Pointer) => {
        try {
          events.get(id)?.log(levelOf(level), `${memory().text(where)}: ${memory().text(message)}`);
        } catch (error) {
          guard.keep(error);
        }
      },
      on_self_path: (id: number, connection: number) => {
        try {
          events.get(id)?.selfPath(pathOf(connection));
        } catch (error) {
          guard.keep(error);
        }
      },
      on_friend_request: (id: number, key: Pointer, message: Pointer, length: number) => {
        try {
          events.get(id)?.friendRequest(memory().view(key, 32), memory().view(message, length));
        } catch (error) {
          guard.keep(error);
        }
      },
      on_friend_path: (id: number, friend: number, connection: number) => {
        try {
          events.get(id)?.friendPath(friend, pathOf(connection));
        } catch (error) {
          guard.keep(error);
        }
      },
      on_lossless: (id: number, friend: number, at: Pointer, length: number) => {
        try {
          events.get(id)?.losslessPacket(friend, memory().view(at, length));
        } catch (error) {
          guard.keep(error);
        }
      },
      on_lossy: (id: number, friend: number, at: Pointer, length: number) => {
        try {
          events.get(id)?.lossyPacket(friend, memory().view(at, length));
        } catch (error) {
          guard.keep(error);
        }
      },
    },
  };
}

/**
 * What is left of WASI: clocks and files are not imported (see wasm/system.c), and C's exit() is
 * reached only by abort(). It must end the module, and never the process.
 */
export function wasiImports(guard: Guard): { proc_exit(code: number): never } {
  return {
    proc_exit: (code) => {
      throw guard.crash(new TunnelError('ERR_TOX_CRASHED', `toxcore called abort() (code ${code})`));
    },
  };
}
