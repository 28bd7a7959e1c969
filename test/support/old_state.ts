import { createIdentity, publicKeyOf } from '../../src/state/identity.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The content of a version 1 state file of a listener. @param secretKey default: a new one */
export function oldState(secretKey = createIdentity().secretKey) {
  return {
    version: 1,
    kind: 'tox-wasm-tunnel identity',
    role: 'listener',
    secretKey: hex(secretKey),
    publicKey: hex(publicKeyOf(secretKey)),
    nospam: '01020304',
  };
}
