import type { CliIo } from '../process/io.js';
import { PASSPHRASE_VARIABLE } from '../process/secret_variables.js';
import { type StateFlags, usage } from './flags.js';
import { readBoundedFile } from './read_bounded.js';

const MAX_PASSPHRASE_BYTES = 4096;

/**
 * The passphrase of the state files, from the file that the options name or else from the
 * environment; undefined without either. An end of line at its end is none of it.
 *
 * @throws {TunnelError} ERR_USAGE
 */
export async function passphraseOf(
  { passphraseFile, ephemeral }: Pick<StateFlags, 'passphraseFile' | 'ephemeral'>,
  io: CliIo,
): Promise<Uint8Array | undefined> {
  const fromEnvironment = variableOf(io);
  // From the environment it may still open the names.
  if (ephemeral === true && passphraseFile !== undefined)
    throw usage('--passphrase-file and --ephemeral contradict each other');
  if (passphraseFile !== undefined) return readPassphrase(passphraseFile);
  return fromEnvironment === undefined
    ? undefined
    : checked(Buffer.from(fromEnvironment), PASSPHRASE_VARIABLE);
}

/** What lay in the environment of a command, which several parts of it may ask for. */
const variables = new WeakMap<CliIo, string | undefined>();

/** The passphrase in the environment of a command, however often it is asked for. */
export function variableOf(io: CliIo): string | undefined {
  if (!variables.has(io)) variables.set(io, io.takeEnv(PASSPHRASE_VARIABLE));
  return variables.get(io);
}

/** The passphrase in a file. @throws {TunnelError} ERR_USAGE */
export async function readPassphrase(file: string): Promise<Uint8Array> {
  return checked(await readBoundedFile(file, { code: 'ERR_USAGE', maxBytes: MAX_PASSPHRASE_BYTES }), file);
}

function checked(bytes: Buffer, origin: string): Uint8Array {
  let end = bytes.length;
  if (bytes[end - 1] === LINE_FEED) end--;
  if (bytes[end - 1] === CARRIAGE_RETURN) end--;
  if (end === 0) throw usage(`${origin}: the passphrase is empty`);
  if (end > MAX_PASSPHRASE_BYTES)
    throw usage(`${origin}: a passphrase has at most ${MAX_PASSPHRASE_BYTES} bytes`);
  return Uint8Array.from(bytes.subarray(0, end));
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
