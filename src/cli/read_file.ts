import { createReadStream } from 'node:fs';
import { usage } from './flags.js';

/**
 * A small text file that the command line named; also a pipe, as of `<(…)`.
 *
 * @throws {TunnelError} ERR_USAGE when it cannot be read or is too long
 */
export async function readBoundedFile(file: string, maxBytes: number): Promise<string> {
  let text = '';
  try {
    for await (const chunk of createReadStream(file, 'utf8')) {
      text += String(chunk);
      if (text.length > maxBytes) break;
    }
  } catch (error) {
    throw usage(`${file}: it cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text.length > maxBytes) throw usage(`${file}: it has more than ${maxBytes} bytes`);
  return text;
}
