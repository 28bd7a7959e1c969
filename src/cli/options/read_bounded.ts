import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { TunnelError, type TunnelErrorCode } from '../../core/errors.js';

/** What an input that can't be read, or has too much in it, is told as. */
export interface Bound {
  readonly code: TunnelErrorCode;
  readonly maxBytes: number;
}

/** Reads a file, or a pipe that stands for one, and never more of it than `maxBytes`. */
export function readBoundedFile(file: string, bound: Bound): Promise<Buffer> {
  return readBounded(createReadStream(file), file, bound);
}

/** A password or the like, its line end, and what people keep beside it. */
const MAX_SECRET_FILE_BYTES = 4096;

/** The first line of a file of secrets, without its end. @throws {TunnelError} ERR_USAGE */
export async function readFirstLine(file: string): Promise<string> {
  const bytes = await readBoundedFile(file, { code: 'ERR_USAGE', maxBytes: MAX_SECRET_FILE_BYTES });
  return bytes.toString('utf8').split(/\r?\n/, 1)[0] ?? '';
}

/** {@link readBoundedFile} of an open stream. @param name how errors call it */
export async function readBounded(input: Readable, name: string, { code, maxBytes }: Bound): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of input) {
      // A stream without an encoding gives buffers.
      const buffer = chunk as Buffer;
      chunks.push(buffer);
      bytes += buffer.length;
      if (bytes > maxBytes) break;
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TunnelError(code, `${name}: it cannot be read: ${why}`, { cause: error });
  }
  if (bytes > maxBytes) throw new TunnelError(code, `${name}: it has more than ${maxBytes} bytes`);
  return Buffer.concat(chunks);
}
