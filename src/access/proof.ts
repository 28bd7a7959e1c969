import { timingSafeEqual } from 'node:crypto';
import { blake2b } from '@noble/hashes/blake2.js';

/** Bytes of what {@link keyedHash} gives. */
export const HASH_BYTES = 32;

// docs/reference/protocol.md, section 2.1. Each proof has a label of its own, so that none stands for another.

const KEY_ID_BYTES = 8;
/** First byte of a friend request that carries a proof. */
const REQUEST_MARK = 1;
/** Bytes that begin a friend request made with a ticket, the same for all who have that ticket. */
export const REQUEST_PREFIX_BYTES = 1 + KEY_ID_BYTES;
const REQUEST_BYTES = REQUEST_PREFIX_BYTES + HASH_BYTES;
const HELLO_PROOF_BYTES = KEY_ID_BYTES + HASH_BYTES;

const label = (text: string): Uint8Array => new TextEncoder().encode(`tox-wasm-tunnel ${text}\0`);
const ID = label('id');
const REQUEST = label('request');
const HELLO = label('hello');
const WELCOME = label('welcome');

/** Who the two ends are, 32 bytes each. */
export interface Keys {
  readonly connector: Uint8Array;
  readonly listener: Uint8Array;
}

/** The UUIDs of the two ends' sessions, 16 bytes each. */
export interface Sessions {
  readonly connector: Uint8Array;
  readonly listener: Uint8Array;
}

/** What a proof shows: which secret, and the hash that only who has it can make. */
export interface Proof {
  /** Hexadecimal digits. */
  readonly keyId: string;
  readonly hash: Uint8Array;
}

/** A public name of a secret: it gives nothing of it away. 16 hexadecimal digits. */
export function keyIdOf(secret: Uint8Array): string {
  return hexOf(keyIdBytes(secret));
}

/** What the message of every friend request made with this secret begins with. */
export function requestPrefix(secret: Uint8Array): Uint8Array {
  return Uint8Array.of(REQUEST_MARK, ...keyIdBytes(secret));
}

/** The message of a friend request. */
export function requestMessage(secret: Uint8Array, keys: Keys): Uint8Array {
  return Uint8Array.of(...requestPrefix(secret), ...requestHash(secret, keys));
}

/** @returns undefined when the message is of another shape */
export function readRequest(message: Uint8Array): Proof | undefined {
  if (message.length !== REQUEST_BYTES || message[0] !== REQUEST_MARK) return undefined;
  return proofAt(message, 1);
}

export function provesRequest(secret: Uint8Array, keys: Keys, { hash }: Proof): boolean {
  return isSame(hash, requestHash(secret, keys));
}

/** The proof in a hello. */
export function helloProof(secret: Uint8Array, keys: Keys, sessions: Sessions): Uint8Array {
  return Uint8Array.of(...keyIdBytes(secret), ...sessionHash(HELLO, secret, keys, sessions));
}

/** @returns undefined when the field is of another shape */
export function readHelloProof(field: Uint8Array): Proof | undefined {
  return field.length === HELLO_PROOF_BYTES ? proofAt(field, 0) : undefined;
}

export function provesHello(secret: Uint8Array, keys: Keys, sessions: Sessions, { hash }: Proof): boolean {
  return isSame(hash, sessionHash(HELLO, secret, keys, sessions));
}

/** The proof in a welcome: the listener too knows the secret. */
export function welcomeProof(secret: Uint8Array, keys: Keys, sessions: Sessions): Uint8Array {
  return sessionHash(WELCOME, secret, keys, sessions);
}

export function provesWelcome(
  secret: Uint8Array,
  keys: Keys,
  sessions: Sessions,
  field: Uint8Array | undefined,
): boolean {
  return field !== undefined && isSame(field, welcomeProof(secret, keys, sessions));
}

function keyIdBytes(secret: Uint8Array): Uint8Array {
  return keyedHash(secret, ID).subarray(0, KEY_ID_BYTES);
}

function requestHash(secret: Uint8Array, { connector, listener }: Keys): Uint8Array {
  return keyedHash(secret, REQUEST, connector, listener);
}

function sessionHash(which: Uint8Array, secret: Uint8Array, keys: Keys, sessions: Sessions): Uint8Array {
  return keyedHash(secret, which, keys.connector, keys.listener, sessions.connector, sessions.listener);
}

function proofAt(bytes: Uint8Array, at: number): Proof {
  return { keyId: hexOf(bytes.subarray(at, at + KEY_ID_BYTES)), hash: bytes.slice(at + KEY_ID_BYTES) };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

// Synchronous and there at once: a wasm would have to be waited for, which `require()` of this package cannot.

/** BLAKE2b-256 of the parts one after the other. @param key 16 to 64 bytes */
export function keyedHash(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = blake2b.create({ dkLen: HASH_BYTES, key });
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Whether both are the same, in a time that tells nothing of where they differ. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
