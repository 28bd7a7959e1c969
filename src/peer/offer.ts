import { randomBytes } from 'node:crypto';
import { type HandshakeOffer, ourOffer } from '../mux/wire/agreement.js';
import { newId } from '../mux/wire/stream_id.js';

/** What we bring into a handshake for a new session. */
export function newOffer(): HandshakeOffer {
  return ourOffer(newId(Uint8Array.from(randomBytes(16))));
}
