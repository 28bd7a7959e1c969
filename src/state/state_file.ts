import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import * as v from 'valibot';
import { errnoOf, TunnelError } from '../core/errors.js';
import { type Sealed, type SealKey, sealKeyOf, unseal } from './sealed.js';
import { checkFileMode, WAY_OUT } from './state_folder.js';

// Windows has no such flag, although the type says that it has.
const NO_WAITING = process.platform === 'win32' ? 0 : constants.O_NONBLOCK;

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
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    // Without this flag, opening a named pipe would wait for a writer.
    handle = await open(file, constants.O_RDONLY | NO_WAITING);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw refusedFile(file, 'it is not a regular file', wayOut);
    checkFileMode(file, stats.mode);
    if (stats.size > maxBytes)
      throw refusedFile(file, `it has ${stats.size} bytes, more than the ${maxBytes} that we read`, wayOut);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

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

/**
 * The error for a file that is not encrypted although there is a passphrase. Anyone who could write to the folder may
 * have put it there, with an identity or tickets that they know.
 */
export function notSealed(file: string): TunnelError {
  return new TunnelError(
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
    // The engine's own error quotes a piece of the text, which may be a key.
    throw new StateFault(text.trim() === '' ? 'it is empty' : 'it is not JSON');
  }
}
