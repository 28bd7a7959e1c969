import { constants } from 'node:fs';
import { lstat, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { errnoOf, TunnelError } from '../core/errors.js';
import { checkOwner, WAY_OUT } from '../core/file_access.js';
import { withoutMark } from '../core/unseen.js';
import { replaceFile } from './replace_file.js';
import { type Sealed, type SealKey, sealKeyOf, unseal } from './sealed.js';
import { checkFileMode } from './state_folder.js';

// Windows has no such flags, although the types say otherwise.
const NO_WAITING = process.platform === 'win32' ? 0 : constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * Reads a file that only its owner may use.
 *
 * @returns undefined when there is no file
 * @throws {TunnelError} ERR_STATE_INVALID; or the system's error
 */
export async function readStateFile(
  file: string,
  maxBytes: number,
  wayOut: string = WAY_OUT,
): Promise<string | undefined> {
  return readRegularFile(file, maxBytes, { wayOut, isPrivate: true });
}

export interface RegularFileOptions {
  readonly wayOut?: string;
  /** Refuses a file that other users of this machine may use. Default false. */
  readonly isPrivate?: boolean;
}

/**
 * Reads the text of a file in a state folder. Refuses a file of another user, and anything that is not a file: a named
 * pipe would never answer, and opening a device may act on it.
 *
 * @returns undefined when nothing has this name
 * @throws {TunnelError} ERR_STATE_INVALID; or the system's error
 */
export async function readRegularFile(
  file: string,
  maxBytes: number,
  { wayOut = WAY_OUT, isPrivate = false }: RegularFileOptions = {},
): Promise<string | undefined> {
  if (!(await isRegularFile(file, wayOut))) return undefined;
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    // Something else may have taken its place: opening a named pipe must not wait for a writer.
    handle = await open(file, constants.O_RDONLY | NO_WAITING);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw notRegular(file, wayOut);
    await checkOwner(file, stats.uid, dirname(file));
    if (isPrivate) checkFileMode(file, stats.mode);
    if (stats.size > maxBytes)
      throw refusedFile(file, `it has ${stats.size} bytes, more than the ${maxBytes} that we read`, wayOut);
    return withoutMark(await handle.readFile('utf8'));
  } finally {
    await handle.close();
  }
}

/**
 * Replaces the content of a file in a state folder, all of it or nothing. Refuses to replace anything but a file.
 *
 * @throws {TunnelError} ERR_STATE_INVALID; or the system's error
 */
export async function replaceStateFile(file: string, text: string): Promise<void> {
  await isRegularFile(file, WAY_OUT);
  await replaceFile(file, text);
}

/** True for a file, or a link to one; false when there is nothing. @throws {TunnelError} ERR_STATE_INVALID */
async function isRegularFile(file: string, wayOut: string): Promise<boolean> {
  try {
    if ((await stat(file)).isFile()) return true;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    if (!(await isLink(file))) return false;
    throw refusedFile(file, 'it is a link to a file that does not exist', wayOut);
  }
  throw notRegular(file, wayOut);
}

async function isLink(file: string): Promise<boolean> {
  try {
    return (await lstat(file)).isSymbolicLink();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

const notRegular = (file: string, wayOut: string): TunnelError =>
  refusedFile(file, 'it is not a regular file', wayOut);

/** Decrypts the text that is sealed in a file. @throws {TunnelError} ERR_STATE_SEALED */
export async function openSealed(
  file: string,
  sealed: Sealed,
  passphrase: Uint8Array | undefined,
  label: string,
  wayOut: string = WAY_OUT,
): Promise<{ readonly text: string; readonly key: SealKey }> {
  if (passphrase === undefined) {
    throw new TunnelError(
      'ERR_STATE_SEALED',
      `${file}: it is encrypted; give its passphrase with --passphrase-file FILE or in TOX_WASM_TUNNEL_PASSPHRASE, or ${wayOut}`,
    );
  }
  const key = await sealKeyOf(passphrase, sealed);
  const text = await unseal(key, sealed, label);
  if (text === undefined) {
    throw new TunnelError(
      'ERR_STATE_SEALED',
      `${file}: the passphrase is wrong, or the file is damaged; it was left unchanged: try again, or ${wayOut}`,
    );
  }
  return { text, key };
}

/** Whether a state file is encrypted. */
export interface Sealing {
  /** Encrypts the file; not empty. Without it, every program of the owner can read the file. */
  readonly passphrase?: Uint8Array | undefined;
  /** Whether a file that is not encrypted is read although there is a passphrase. Default false. */
  readonly acceptsPlain?: boolean;
}

/**
 * Refuses a file that is not encrypted although there is a passphrase. Anyone who could write to the folder may have
 * put it there, with an identity or tickets that they know.
 *
 * @throws {TunnelError} ERR_STATE_SEALED
 */
export function expectPlainAllowed(file: string, { passphrase, acceptsPlain = false }: Sealing): void {
  if (passphrase === undefined || acceptsPlain) return;
  throw new TunnelError(
    'ERR_STATE_SEALED',
    `${file}: it is not encrypted although a passphrase is set, so someone else may have put it there; if it is yours, encrypt it: tox-wasm-tunnel id --new-passphrase-file FILE; if not, move it away`,
  );
}

/** The error for a file that cannot be used. @param what is wrong with it @param wayOut what to do about it */
export function refusedFile(file: string, what: string, wayOut: string = WAY_OUT): TunnelError {
  return new TunnelError(
    'ERR_STATE_INVALID',
    `${file}: ${what}; it was left unchanged: move it away to start fresh, or ${wayOut}`,
  );
}

/**
 * What is wrong with the text of a state file. The code that read the file adds the file's name and what to
 * do.
 */
export class StateFault extends Error {}

/** Checks JSON against a schema. @param prefix goes before the name of a wrong field @throws {StateFault} */
export function checked<T>(schema: v.GenericSchema<unknown, T>, json: unknown, prefix: string): T {
  const read = v.safeParse(schema, json, { abortEarly: true });
  if (read.success) return read.output;
  const [issue] = read.issues;
  const field = JSON.stringify(`${prefix}${String(issue.path?.[0]?.key ?? '')}`);
  const isMissing = issue.input === undefined;
  throw new StateFault(`${field} is wrong: ${isMissing ? 'it is missing' : issue.message}`);
}

/** @throws {StateFault} */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The error of JSON.parse quotes part of the text, which may be a key.
    throw new StateFault(text.trim() === '' ? 'it is empty' : 'it is not JSON');
  }
}
