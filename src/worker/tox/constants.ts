import type { Path } from './tox.js';

/**
 * Numbers of toxcore and of our bridge that TypeScript repeats. The contract test compares every
 * one with the value that the binary itself gives. Sources: tox.h, net_crypto.h and net.h of
 * toxcore; wasm/bridge.h.
 */
export const TOX_CONSTANTS = {
  TOX_PUBLIC_KEY_SIZE: 32,
  TOX_SECRET_KEY_SIZE: 32,
  TOX_ADDRESS_SIZE: 38,
  TOX_NOSPAM_SIZE: 4,
  TOX_MAX_FRIEND_REQUEST_LENGTH: 921,
  TOX_MAX_CUSTOM_PACKET_SIZE: 1373,
  TOX_CONNECTION_NONE: 0,
  TOX_CONNECTION_TCP: 1,
  TOX_CONNECTION_UDP: 2,
  TOX_ERR_NEW_NULL: 1,
  TOX_ERR_NEW_MALLOC: 2,
  TOX_ERR_NEW_PORT_ALLOC: 3,
  TOX_ERR_NEW_LOAD_BAD_FORMAT: 9,
  TOX_ERR_FRIEND_ADD_NULL: 1,
  TOX_ERR_FRIEND_ADD_TOO_LONG: 2,
  TOX_ERR_FRIEND_ADD_NO_MESSAGE: 3,
  TOX_ERR_FRIEND_ADD_OWN_KEY: 4,
  TOX_ERR_FRIEND_ADD_ALREADY_SENT: 5,
  TOX_ERR_FRIEND_ADD_BAD_CHECKSUM: 6,
  TOX_ERR_FRIEND_ADD_SET_NEW_NOSPAM: 7,
  TOX_ERR_FRIEND_ADD_MALLOC: 8,
  TOX_ERR_FRIEND_CUSTOM_PACKET_OK: 0,
  TOX_ERR_FRIEND_CUSTOM_PACKET_NULL: 1,
  TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_FOUND: 2,
  TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_CONNECTED: 3,
  TOX_ERR_FRIEND_CUSTOM_PACKET_INVALID: 4,
  TOX_ERR_FRIEND_CUSTOM_PACKET_EMPTY: 5,
  TOX_ERR_FRIEND_CUSTOM_PACKET_TOO_LONG: 6,
  TOX_ERR_FRIEND_CUSTOM_PACKET_SENDQ: 7,
  TOX_LOG_LEVEL_TRACE: 0,
  TOX_LOG_LEVEL_DEBUG: 1,
  TOX_LOG_LEVEL_INFO: 2,
  TOX_LOG_LEVEL_WARNING: 3,
  TOX_LOG_LEVEL_ERROR: 4,
  STAGING_SIZE: 4096,
  FLAG_UDP: 1,
  FLAG_IPV6: 2,
  FLAG_LAN_DISCOVERY: 4,
  FLAG_SECRET_KEY: 8,
  FLAG_NOSPAM: 16,
} as const;

/** Bytes of a public key, a secret key and a DHT key. */
export const KEY_BYTES = TOX_CONSTANTS.TOX_PUBLIC_KEY_SIZE;
/** Bytes of a Tox ID: public key, nospam, checksum. */
export const ADDRESS_BYTES = TOX_CONSTANTS.TOX_ADDRESS_SIZE;
export const NOSPAM_BYTES = TOX_CONSTANTS.TOX_NOSPAM_SIZE;
/** Longest message of a friend request, in bytes. */
export const MAX_REQUEST_BYTES = TOX_CONSTANTS.TOX_MAX_FRIEND_REQUEST_LENGTH;

/** Tox_Connection in our words. */
export function pathOf(connection: number): Path {
  if (connection === TOX_CONSTANTS.TOX_CONNECTION_UDP) return 'udp';
  return connection === TOX_CONSTANTS.TOX_CONNECTION_TCP ? 'relay' : 'none';
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** Tox_Log_Level in our words. */
export function levelOf(level: number): (typeof LEVELS)[number] {
  return LEVELS[level] ?? 'error';
}
