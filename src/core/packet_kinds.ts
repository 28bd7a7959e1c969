// Second byte of a lossless packet of ours (docs/reference/protocol.md, section 1): the handshake.

export const KIND_HELLO = 1;
export const KIND_WELCOME = 2;
export const KIND_REFUSE = 3;
export const KIND_CHALLENGE = 4;
