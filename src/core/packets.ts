// The custom packets of toxcore that carry everything we send.

/**
 * Longest custom packet that toxcore accepts, in bytes, including its id byte.
 * Source: TOX_MAX_CUSTOM_PACKET_SIZE, toxcore/tox.h; the contract test compares them.
 */
export const MAX_PACKET_BYTES = 1373;

/**
 * Id bytes of our packets, which the public registry of custom packet ids leaves free. toxcore passes
 * 160 to 191 (lossless) and 200 to 254 (lossy) to its user.
 * Source: tox_friend_send_lossless_packet and tox_friend_send_lossy_packet, toxcore/tox.h.
 */
export const LOSSLESS_PACKET_ID = 0xb7;
export const LOSSY_PACKET_ID = 0xdb;

// Second byte of a lossless packet of ours: which message of the handshake it is (docs/reference/protocol.md, section 1).
export const KIND_HELLO = 1;
export const KIND_WELCOME = 2;
export const KIND_REFUSE = 3;
export const KIND_CHALLENGE = 4;
