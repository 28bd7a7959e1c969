import type { WasmMemoryObject } from './webassembly.js';

/** An address in wasm memory; 0 means none. */
export type Pointer = number;

/**
 * The exports of wasm/*.c that we call. The C files document each of them. `instance_` functions take what
 * instance_create returned, `node_` functions what node_create returned. A C bool arrives as 0 or 1.
 */
export interface BridgeFunctions {
  _initialize(): void;
  bridge_init(): void;
  bridge_staging(): Pointer;
  bridge_allocated_bytes(): number;
  bridge_constant_name(index: number): Pointer;
  bridge_constant_value(index: number): number;
  bridge_seal(length: number): number;

  instance_create(id: number, flags: number, udpPort: number): number;
  instance_kill(tox: Pointer): void;
  instance_iterate(tox: Pointer, id: number): void;
  instance_poll(tox: Pointer, id: number): void;
  instance_interval_ms(tox: Pointer): number;
  instance_identity(tox: Pointer): void;
  instance_udp_port(tox: Pointer): number;
  instance_bootstrap(tox: Pointer, port: number): number;
  instance_add_relay(tox: Pointer, port: number): number;
  instance_add_friend(tox: Pointer, messageBytes: number): number;
  instance_accept_friend(tox: Pointer): number;
  instance_find_friend(tox: Pointer): number;
  instance_ask_again(tox: Pointer, friend: number): number;
  instance_set_request(tox: Pointer, friend: number, messageLength: number): number;
  instance_delete_friend(tox: Pointer, friend: number): number;
  instance_friend_path(tox: Pointer, friend: number): number;
  instance_add_friend_relay(tox: Pointer, friend: number, port: number): number;
  instance_knock(tox: Pointer): number;
  instance_friend_place(tox: Pointer, friend: number): number;
  instance_session_binding(tox: Pointer, friend: number): number;
  instance_seek_friend(tox: Pointer, friend: number): number;
  instance_seen_addresses(tox: Pointer): number;
  instance_send_lossless(tox: Pointer, friend: number, bytes: number): number;
  instance_send_lossy(tox: Pointer, friend: number, bytes: number): number;

  node_create(id: number, flags: number, udpPort: number, tcpPort: number): number;
  node_kill(node: Pointer): void;
  node_iterate(node: Pointer): void;
  node_poll(node: Pointer): void;
  node_identity(node: Pointer): void;
  node_is_connected(node: Pointer): number;
  node_bootstrap(node: Pointer, port: number): number;
}

export interface BridgeExports extends BridgeFunctions {
  readonly memory: WasmMemoryObject;
}
