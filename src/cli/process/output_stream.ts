import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { systemReason } from '../../core/system_error.js';

/** A stream that may be a terminal. */
export type MaybeTerminal = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/**
 * A stream that a command writes to. Unlike pipes and terminals, a file may accept lines again after a
 * failure.
 */
export type Output = Writable & Partial<Pick<FileOutput, 'tryLine'>>;

const NEWLINE = 0x0a;

/**
 * Standard output or standard error when it is a file. A full disk causes a short write, which Node's own
 * stream takes for a complete one. This stream writes the rest too, or fails.
 */
export class FileOutput extends Writable {
  readonly #writeSome: (bytes: Uint8Array) => number;
  /** The file ends in the middle of a line. */
  #isTorn = false;

  /** @param writeSome writes some of the bytes and returns how many; throws the system's error */
  constructor(writeSome: (bytes: Uint8Array) => number) {
    super();
    this.#writeSome = writeSome;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    done(this.#writeAll(chunk));
  }

  /**
   * Writes a line synchronously. Unlike a failed `write`, a failure leaves the stream usable, and the next
   * line starts on a new line.
   *
   * @param text including the end of line
   * @returns the failure; undefined on success
   */
  tryLine(text: string): Error | undefined {
    if (!this.writable) return this.errored ?? new Error('it is closed');
    return this.#writeAll(Buffer.from(this.#isTorn ? `\n${text}` : text));
  }

  /**
   * Writes synchronously, as Node does with files: output stays in order and is complete when the process
   * exits.
   */
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

/** Returns the process's own stream, or a replacement when it is a file. */
export function outputOf(stream: Writable & { readonly fd?: number }): Output {
  // Node represents terminals as sockets too. A missing stream has no descriptor.
  const { fd } = stream;
  if (stream instanceof Socket || fd === undefined) return stream;
  return new FileOutput((bytes) => writeSync(fd, bytes));
}

/** EOF comes from a pipe on Windows, EIO from a closed terminal; from a file, EIO means a disk failure. */
const READER_GONE = ['EPIPE', 'ECONNRESET', 'EOF', 'EIO'];

/** Whether the reader has closed the output. The command then ends without a failure, as with `| head`. */
export function isReaderGone(error: Error, output: Output): boolean {
  return !(output instanceof FileOutput) && READER_GONE.includes(errnoOf(error) ?? '');
}

/** The error reported when standard output cannot be written. */
export function outputError(cause: Error): TunnelError {
  return new TunnelError(
    'ERR_OUTPUT',
    `standard output: ${systemReason(cause)}, or write the output elsewhere; it is incomplete`,
    { cause },
  );
}
