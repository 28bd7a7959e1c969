import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Logger } from '../core/logger.js';
import { type KnownPlace, parseKnownPlaces } from '../network/known_places.js';
import type { Identity } from './identity.js';
import { readStateFile, replaceStateFile } from './state_file.js';

const MAX_BYTES = 256 * 1024;
const KIND = 'tox-wasm-tunnel places';
const VERSION = 1;
const CIPHER = 'chacha20-poly1305';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const FileSchema = v.object({
  version: v.literal(VERSION),
  kind: v.literal(KIND),
  nonce: v.string(),
  text: v.string(),
});

export interface PlacesFileOptions {
  readonly folder: string;
  readonly role: 'listener' | 'connector';
  readonly logger: Logger;
}

/**
 * Where the peers of one identity were last reached, in a file of the state folder. It is encrypted with a key derived
 * from the identity's secret key, so that it is as safe as the identity, with a passphrase or without, and useless to
 * another identity. It only saves time: what cannot be read or written is logged and left out.
 */
export class PlacesFile {
  /** What an earlier run saved. */
  readonly saved: readonly KnownPlace[];
  readonly #options: PlacesFileOptions;
  #saving: Promise<void> = Promise.resolve();
  #next: { readonly identity: Identity; readonly places: readonly KnownPlace[] } | undefined;

  private constructor(options: PlacesFileOptions, saved: readonly KnownPlace[]) {
    this.#options = options;
    this.saved = saved;
  }

  /** Reads the file of an identity that this process has locked. @param identity undefined when it is new */
  static async open(options: PlacesFileOptions, identity: Identity | undefined): Promise<PlacesFile> {
    if (identity === undefined) return new PlacesFile(options, []);
    try {
      const text = await readStateFile(fileOf(options), MAX_BYTES);
      const places = text === undefined ? undefined : decrypt(text, identity, options.role);
      return new PlacesFile(options, places ?? []);
    } catch (error) {
      complain(options, 'read', error);
      return new PlacesFile(options, []);
    }
  }

  /** Replaces the file soon. Only the newest of several waiting calls is written. */
  save(identity: Identity, places: readonly KnownPlace[]): void {
    const isWaiting = this.#next !== undefined;
    this.#next = { identity, places };
    if (!isWaiting) this.#saving = this.#saving.then(() => this.#write());
  }

  /** Resolves when everything is written. Never rejects. */
  settled(): Promise<void> {
    return this.#saving;
  }

  async #write(): Promise<void> {
    const next = this.#next;
    this.#next = undefined;
    if (next === undefined) return;
    try {
      await replaceStateFile(fileOf(this.#options), encrypt(next.places, next.identity, this.#options.role));
    } catch (error) {
      complain(this.#options, 'write', error);
    }
  }
}

const fileOf = ({ folder, role }: PlacesFileOptions): string => join(folder, `${role}-places.json`);

function complain(options: PlacesFileOptions, what: string, error: unknown): void {
  const why = error instanceof Error ? error.message : String(error);
  options.logger.log('warn', `cannot ${what} ${fileOf(options)}: ${why}; peers are searched for as usual`);
}

function keyFor({ secretKey }: Identity, role: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secretKey, '', `${KIND}/${VERSION}/${role}`, KEY_BYTES));
}

function encrypt(places: readonly KnownPlace[], identity: Identity, role: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyFor(identity, role), nonce, { authTagLength: TAG_BYTES });
  const text = Buffer.concat([cipher.update(JSON.stringify(places)), cipher.final(), cipher.getAuthTag()]);
  const body = {
    version: VERSION,
    kind: KIND,
    nonce: nonce.toString('base64'),
    text: text.toString('base64'),
  };
  return `${JSON.stringify(body, undefined, 2)}\n`;
}

/** Returns undefined for a file of another identity or version, and for a damaged one. */
function decrypt(text: string, identity: Identity, role: string): readonly KnownPlace[] | undefined {
  try {
    const file = v.parse(FileSchema, JSON.parse(text));
    const sealed = Buffer.from(file.text, 'base64');
    const cipher = createDecipheriv(CIPHER, keyFor(identity, role), Buffer.from(file.nonce, 'base64'), {
      authTagLength: TAG_BYTES,
    });
    cipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const plain = Buffer.concat([cipher.update(sealed.subarray(0, -TAG_BYTES)), cipher.final()]);
    return parseKnownPlaces(JSON.parse(plain.toString()));
  } catch {
    return undefined;
  }
}
