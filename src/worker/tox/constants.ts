import { MAX_PACKET_BYTES } from '../../core/packets.js';
import {
  MAX_REQUEST_BYTES,
  NOSPAM_BYTES,
  type Path,
  PUBLIC_KEY_BYTES,
  SECRET_KEY_BYTES,
  TOX_ID_BYTES,
} from '../../core/tox_network.js';

/**
 * Numbers of toxcore and of our bridge that TypeScript repeats. The contract test compares every one with the
 * binary's own value. Sources: tox.h, net_crypto.h and net.h of toxcore; wasm/bridge.h.
 */
export const TOX_CONSTANTS = {
  TOX_PUBLIC_KEY_SIZE: PUBLIC_KEY_BYTES,
  TOX_SECRET_KEY_SIZE: SECRET_KEY_BYTES,
  TOX_ADDRESS_SIZE: TOX_ID_BYTES,
  TOX_NOSPAM_SIZE: NOSPAM_BYTES,
  TOX_MAX_FRIEND_REQUEST_LENGTH: MAX_REQUEST_BYTES,
  TOX_MAX_CUSTOM_PACKET_SIZE: MAX_PACKET_BYTES,
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

/** Translates a Tox_Connection. */
export function pathOf(connection: number): Path {
  if (connection === TOX_CONSTANTS.TOX_CONNECTION_UDP) return 'udp';
  return connection === TOX_CONSTANTS.TOX_CONNECTION_TCP ? 'relay' : 'none';
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** Translates a Tox_Log_Level. */
export function levelOf(level: number): (typeof LEVELS)[number] {
  return LEVELS[level] ?? 'error';
}
