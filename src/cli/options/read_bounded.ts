import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { withoutMarkBytes } from '../../core/byte_order_mark.js';
import { TunnelError, type TunnelErrorCode } from '../../core/errors.js';
import { systemReason } from '../../core/system_error.js';

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

/** Reads the first line of a file, without its line end. @throws {TunnelError} ERR_USAGE */
export async function readFirstLine(file: string): Promise<string> {
  const bytes = await readBoundedFile(file, { code: 'ERR_USAGE', maxBytes: MAX_SECRET_FILE_BYTES });
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
    throw new TunnelError(code, `${name}: cannot be read: ${systemReason(error)}`, { cause: error });
  }
  if (bytes > maxBytes) throw new TunnelError(code, `${name}: has more than ${maxBytes} bytes`);
  return withoutMarkBytes(Buffer.concat(chunks));
}
