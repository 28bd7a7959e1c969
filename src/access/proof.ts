import { timingSafeEqual } from 'node:crypto';
import { blake2b } from '@noble/hashes/blake2.js';
import { SESSION_BINDING_BYTES } from '../core/tox_network.js';

/** Bytes of a {@link keyedHash}. */
export const HASH_BYTES = 32;

// docs/reference/protocol.md, section 2.1. Each kind of proof has its own label, so that none can replace another.

const KEY_ID_BYTES = 8;
/** First byte of a friend request that carries a proof. */
const REQUEST_MARK = 1;
/** Length of the beginning of a friend request, which is the same for all holders of one ticket. */
export const REQUEST_PREFIX_BYTES = 1 + KEY_ID_BYTES;
const REQUEST_BYTES = REQUEST_PREFIX_BYTES + HASH_BYTES;
const HELLO_PROOF_BYTES = KEY_ID_BYTES + HASH_BYTES;

const label = (text: string): Uint8Array => new TextEncoder().encode(`tox-wasm-tunnel ${text}\0`);
const ID = label('id');
const REQUEST = label('request');
const HELLO = label('hello');
const WELCOME = label('welcome');

/** The public keys of the two ends, 32 bytes each. */
export interface Keys {
  readonly connector: Uint8Array;
  readonly listener: Uint8Array;
}

/** What a proof in the handshake is good for. */
export interface Sessions {
  /** The UUIDs of the two ends' sessions, 16 bytes each. */
  readonly connector: Uint8Array;
  readonly listener: Uint8Array;
  /** The Tox session that carries the handshake: 32 bytes, known to its two ends alone. */
  readonly binding: Uint8Array;
}

/** A proof: names a secret, and has a hash that only its owners can compute. */
export interface Proof {
  /** 16 hexadecimal digits. */
  readonly keyId: string;
  readonly hash: Uint8Array;
}

/** A public name of a secret that reveals nothing about it: 16 hexadecimal digits. */
export function keyIdOf(secret: Uint8Array): string {
  return hexOf(keyIdBytes(secret));
}

/** Beginning of the message of every friend request that is made with this secret. */
export function requestPrefix(secret: Uint8Array): Uint8Array {
  return Uint8Array.of(REQUEST_MARK, ...keyIdBytes(secret));
}

/** The message of a friend request. */
export function requestMessage(secret: Uint8Array, keys: Keys): Uint8Array {
  return Uint8Array.of(...requestPrefix(secret), ...requestHash(secret, keys));
}

/** Reads the message of a friend request. @returns undefined for a message of another shape */
export function readRequest(message: Uint8Array): Proof | undefined {
  if (message.length !== REQUEST_BYTES || message[0] !== REQUEST_MARK) return undefined;
  return proofAt(message, 1);
}

export function provesRequest(secret: Uint8Array, keys: Keys, { hash }: Proof): boolean {
  return isSame(hash, requestHash(secret, keys));
}

/** Makes the proof in a hello. */
export function helloProof(secret: Uint8Array, keys: Keys, sessions: Sessions): Uint8Array {
  return Uint8Array.of(...keyIdBytes(secret), ...sessionHash(HELLO, secret, keys, sessions));
}

/** Reads the proof in a hello. @returns undefined for a field of another shape */
export function readHelloProof(field: Uint8Array): Proof | undefined {
  return field.length === HELLO_PROOF_BYTES ? proofAt(field, 0) : undefined;
}

export function provesHello(secret: Uint8Array, keys: Keys, sessions: Sessions, { hash }: Proof): boolean {
  return isBound(sessions) && isSame(hash, sessionHash(HELLO, secret, keys, sessions));
}

/** Makes the proof in a welcome: the listener shows that it knows the secret, too. */
export function welcomeProof(secret: Uint8Array, keys: Keys, sessions: Sessions): Uint8Array {
  return sessionHash(WELCOME, secret, keys, sessions);
}

export function provesWelcome(
  secret: Uint8Array,
  keys: Keys,
  sessions: Sessions,
  field: Uint8Array | undefined,
): boolean {
  return field !== undefined && isBound(sessions) && isSame(field, welcomeProof(secret, keys, sessions));
}

/** Without a Tox session, nothing is proven. */
function isBound({ binding }: Sessions): boolean {
  return binding.length === SESSION_BINDING_BYTES;
}

function keyIdBytes(secret: Uint8Array): Uint8Array {
  return keyedHash(secret, ID).subarray(0, KEY_ID_BYTES);
}

function requestHash(secret: Uint8Array, { connector, listener }: Keys): Uint8Array {
  return keyedHash(secret, REQUEST, connector, listener);
}

function sessionHash(which: Uint8Array, secret: Uint8Array, keys: Keys, sessions: Sessions): Uint8Array {
  const { connector, listener, binding } = sessions;
  return keyedHash(secret, which, keys.connector, keys.listener, connector, listener, binding);
}

function proofAt(bytes: Uint8Array, at: number): Proof {
  return { keyId: hexOf(bytes.subarray(at, at + KEY_ID_BYTES)), hash: bytes.slice(at + KEY_ID_BYTES) };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

// In plain JavaScript, because it must be usable at once: `require()` of this package cannot wait for a wasm
// to load.

/** Returns the BLAKE2b-256 hash of the concatenated parts. @param key 16 to 64 bytes */
export function keyedHash(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = blake2b.create({ dkLen: HASH_BYTES, key });
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Compares in a time that does not reveal where the two differ. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
