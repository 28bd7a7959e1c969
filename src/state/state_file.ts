import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import * as v from 'valibot';
import { errnoOf, TunnelError } from '../core/errors.js';
import { type Sealed, type SealKey, sealKeyOf, unseal } from './sealed.js';
import { checkFileMode, WAY_OUT } from './state_folder.js';

// Windows has no such flag, whatever its type says.
const NO_WAITING = process.platform === 'win32' ? 0 : constants.O_NONBLOCK;

/**
 * The text of a file that its owner alone may use.
 *
 * @returns undefined when there is none
 * @throws {TunnelError} ERR_STATE_INVALID; what the system refuses comes as it is
 */
export async function readStateFile(file: string, maxBytes: number): Promise<string | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    // Without waiting: a named pipe would keep us until somebody writes.
    handle = await open(file, constants.O_RDONLY | NO_WAITING);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw refusedFile(file, 'it is no file');
    checkFileMode(file, stats.mode);
    if (stats.size > maxBytes)
      throw refusedFile(file, `it has ${stats.size} bytes, too many for a file of ours`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** Opens what is sealed in a file. @throws {TunnelError} ERR_STATE_SEALED */
export async function openSealed(
  file: string,
  sealed: Sealed,
  passphrase: Uint8Array | undefined,
  label: string,
): Promise<{ readonly text: string; readonly key: SealKey }> {
  if (passphrase === undefined) {
    throw new TunnelError(
      'ERR_STATE_SEALED',
      `${file}: it is encrypted; give its passphrase with --passphrase-file FILE or in TOX_WASM_TUNNEL_PASSPHRASE, ${WAY_OUT}`,
    );
  }
  const key = await sealKeyOf(passphrase, sealed);
  const text = await unseal(key, sealed, label);
  if (text === undefined) {
    throw new TunnelError(
      'ERR_STATE_SEALED',
      `${file}: the passphrase is wrong, or the file is damaged; it was left as it is: try again, or ${WAY_OUT}`,
    );
  }
  return { text, key };
}

export function refusedFile(file: string, what: string): TunnelError {
  return new TunnelError(
    'ERR_STATE_INVALID',
    `${file}: ${what}; it was left as it is: move it away to start anew, ${WAY_OUT}`,
  );
}

/** Why a text is no state file; what to do about it, the reader of the file knows. */
export class StateFault extends Error {}

/** @param prefix stands before the name of the field that is wrong @throws {StateFault} */
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
    // The engine's own error repeats a piece of the text, and that may be a key.
    throw new StateFault(text.trim() === '' ? 'it is empty' : 'it is not JSON');
  }
}
