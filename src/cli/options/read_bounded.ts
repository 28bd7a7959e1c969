import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { TunnelError, type TunnelErrorCode } from '../../core/errors.js';
import { isForEveryone, modeText } from '../../core/file_access.js';
import { systemReason } from '../../core/system_error.js';
import { UNSEEN, withoutMarkBytes } from '../../core/unseen.js';
import { PROGRAM } from '../output/reporter.js';
import type { CliIo } from '../process/io.js';

export interface Bound {
  /** Code of the error for input that cannot be read or is too long. */
  readonly code: TunnelErrorCode;
  readonly maxBytes: number;
}

/** Reads a file or a named pipe, and never more than `maxBytes` of it. */
export function readBoundedFile(file: string, bound: Bound): Promise<Buffer> {
  return readBounded(createReadStream(file), file, bound);
}

/** Room for a password, and for notes that people keep below it. */
const MAX_SECRET_FILE_BYTES = 4096;

/** Files of each command about which it has warned. */
const warned = new WeakMap<object, Set<string>>();

/**
 * {@link readBoundedFile} for a file with a secret. Warns, even with `--quiet`, when every user of the machine may use
 * it. It does not refuse: containers often mount their secrets with such a mode.
 */
export async function readSecretFile(
  file: string,
  io: Pick<CliIo, 'stderr' | 'platform'>,
  bound: Bound,
): Promise<Buffer> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file);
  } catch (error) {
    throw unreadable(file, bound.code, error);
  }
  try {
    const stats = await handle.stat();
    const told = warned.get(io) ?? new Set<string>();
    if (isForEveryone(stats, io.platform) && !told.has(file)) {
      warned.set(io, told.add(file));
      const name = file.replaceAll(UNSEEN, '?');
      io.stderr.write(
        `${PROGRAM}: warning: every user of this machine can use ${name}, which holds a secret (mode ${modeText(stats.mode)}); run: chmod 600 ${name}\n`,
      );
    }
    return await readBounded(handle.createReadStream({ autoClose: false }), file, bound);
  } finally {
    await handle.close();
  }
}

/** Reads the first line of a file with a secret, without its line end. @throws {TunnelError} ERR_USAGE */
export async function readFirstLine(file: string, io: Pick<CliIo, 'stderr' | 'platform'>): Promise<string> {
  const bytes = await readSecretFile(file, io, { code: 'ERR_USAGE', maxBytes: MAX_SECRET_FILE_BYTES });
  return bytes.toString('utf8').split(/\r?\n/, 1)[0] ?? '';
}

/**
 * {@link readBoundedFile} for an open stream. Skips a byte order mark, which editors on Windows write.
 *
 * @param name the name of the input in errors
 */
export async function readBounded(input: Readable, name: string, { code, maxBytes }: Bound): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of input) {
      // Streams without an encoding produce buffers.
      const buffer = chunk as Buffer;
      chunks.push(buffer);
      bytes += buffer.length;
      if (bytes > maxBytes) break;
    }
  } catch (error) {
    throw unreadable(name, code, error);
  }
  if (bytes > maxBytes) throw new TunnelError(code, `${name}: has more than ${maxBytes} bytes`);
  return withoutMarkBytes(Buffer.concat(chunks));
}

function unreadable(name: string, code: TunnelErrorCode, cause: unknown): TunnelError {
  return new TunnelError(code, `${name}: cannot be read: ${systemReason(cause)}`, { cause });
}
