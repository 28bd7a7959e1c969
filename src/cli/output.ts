import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { errnoOf } from '../core/errno.js';
import { TunnelError } from '../core/errors.js';

/** What a command writes to. A file, unlike pipes and terminals, may take lines again after it has failed. */
export type Output = Writable & Partial<Pick<FileOutput, 'tryLine'>>;

const NEWLINE = 0x0a;

/**
 * Standard output or standard error where it is a file. Node's own stream for it takes a short write, which is
 * what the last block of a full disk gives, for a whole one; here the rest is written too, or the write fails.
 */
export class FileOutput extends Writable {
  readonly #writeSome: (bytes: Uint8Array) => number;
  /** The file ends within a line. */
  #isTorn = false;

  /** @param writeSome writes some of the bytes, says how many, and throws the system's error */
  constructor(writeSome: (bytes: Uint8Array) => number) {
    super();
    this.#writeSome = writeSome;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    done(this.#writeAll(chunk));
  }

  /**
   * Writes a line at once. Unlike after a failed `write`, the stream stays usable: the next line may be taken again,
   * and starts at the beginning of a line.
   *
   * @param text with its end of line
   * @returns why it was not written; undefined when it was
   */
  tryLine(text: string): Error | undefined {
    if (!this.writable) return this.errored ?? new Error('it is closed');
    return this.#writeAll(Buffer.from(this.#isTorn ? `\n${text}` : text));
  }

  /** In one go, as Node does with files: what was written is in order, and there when the process ends. */
  #writeAll(bytes: Buffer): Error | undefined {
    let at = 0;
    try {
      while (at < bytes.length) {
        const count = this.#writeSome(bytes.subarray(at));
        if (count <= 0) throw new Error('nothing more can be written');
        at += count;
      }
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      if (at > 0) this.#isTorn = bytes[at - 1] !== NEWLINE;
    }
  }
}

/** The stream of this process, or one in its place where it is a file. */
export function outputOf(stream: Writable & { readonly fd?: number }): Output {
  // Terminals are sockets to Node, too; and where there is nothing at all it has a stream without a number.
  const { fd } = stream;
  if (stream instanceof Socket || fd === undefined) return stream;
  return new FileOutput((bytes) => writeSync(fd, bytes));
}

/** A pipe's on Windows is EOF; a terminal's that was closed is EIO, which of a file means that its disk fails. */
const READER_GONE = ['EPIPE', 'ECONNRESET', 'EOF', 'EIO'];

/** Whether nobody reads the output any more, which is a reason to end, and no failure: `| head` has read enough. */
export function isReaderGone(error: Error, output: Output): boolean {
  return !(output instanceof FileOutput) && READER_GONE.includes(errnoOf(error) ?? '');
}

/** What is told when standard output takes no more. */
export function outputError(cause: Error): TunnelError {
  return new TunnelError(
    'ERR_OUTPUT',
    `standard output: ${cause.message}; what stands there is incomplete: make room, or write it elsewhere`,
    { cause },
  );
}
