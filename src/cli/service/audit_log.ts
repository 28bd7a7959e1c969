import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { TunnelError } from '../../core/errors.js';
import { isForEveryone, isTrustedOwner, modeText } from '../../core/file_access.js';
import { withoutLongTickets } from '../../core/secret_text.js';
import { systemReason } from '../../core/system_error.js';
import type { AuditRecord } from '../../index.js';
import { printable, visibleJson } from '../output/human.js';
import type { Output } from '../process/output_stream.js';

/** The value of `--audit-log` for standard output, which the journal keeps under systemd. */
export const AUDIT_TO_OUTPUT = '-';

/** What the command line adds to the records of a listener. */
type OwnRecord =
  | { readonly audit: 'started'; readonly toxId: string }
  | { readonly audit: 'stopped' }
  /** Records that could not be written. */
  | { readonly audit: 'lost'; readonly count: number };

export interface AuditLogOptions {
  readonly stdout: Output;
  readonly wallClock: () => Date;
  /** Reports trouble to people. */
  readonly complain: (message: string) => void;
}

/** How many characters of records may wait for a slow disk. Beyond that, records are counted as lost. */
const MAX_WAITING = 1024 * 1024;
/** How many characters are written in one call, but at least one record. */
const MAX_BATCH = 64 * 1024;
const NEWLINE = 0x0a;
// Windows has no such flags, although the types say otherwise.
const NO_WAITING = process.platform === 'win32' ? 0 : constants.O_NONBLOCK;
const NO_LINK = process.platform === 'win32' ? 0 : constants.O_NOFOLLOW;

/** Where lines go. */
interface Sink {
  /** Writes whole lines. Rejects with the system's error. */
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * The audit of a listener, as lines of JSON. Nothing waits for it: a full disk costs records, which are counted;
 * writing resumes as soon as it can.
 */
export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #target: string;
  #sink: Sink;
  #queue: string[] = [];
  #waiting = 0;
  #lost = 0;
  /** The trouble has been reported. */
  #isTroubled = false;
  #draining: Promise<void> | undefined;
  /** The write under way. */
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(target: string, sink: Sink, options: AuditLogOptions) {
    this.#target = target;
    this.#sink = sink;
    this.#options = options;
  }

  /**
   * @param target a file, which is appended to, or {@link AUDIT_TO_OUTPUT}
   * @throws {TunnelError} ERR_OUTPUT
   */
  static async open(target: string, options: AuditLogOptions): Promise<AuditLog> {
    return new AuditLog(target, await sinkOf(target, options), options);
  }

  record(record: AuditRecord | OwnRecord): void {
    if (this.#closed) return;
    const line = this.#lineOf(record);
    if (this.#waiting + line.length > MAX_WAITING) {
      this.#lost++;
      this.#trouble('it cannot be written as fast as records arrive');
      return;
    }
    this.#queue.push(line);
    this.#waiting += line.length;
    this.#draining ??= this.#drain();
  }

  /** Opens the file again after another program has renamed it. On failure, the old file stays in use. */
  async reopen(): Promise<void> {
    if (this.#closed || this.#target === AUDIT_TO_OUTPUT) return;
    let next: Sink;
    try {
      next = await sinkOf(this.#target, this.#options);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#options.complain(`${printable(why)}; the audit continues in the old file`);
      return;
    }
    const old = this.#sink;
    this.#sink = next;
    await this.#writing;
    await old.close();
  }

  /** Writes the waiting records, and closes the file. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.record({ audit: 'stopped' });
    this.#closed = true;
    await this.#draining;
    if (this.#lost > 0) await this.#write([]);
    await this.#sink.close();
  }

  #lineOf(record: AuditRecord | OwnRecord): string {
    const time = this.#options.wallClock().toISOString();
    return `${withoutLongTickets(visibleJson({ time, ...record }))}\n`;
  }

  async #drain(): Promise<void> {
    // Records of one turn of the event loop are written together.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#write(this.#takeBatch());
    this.#draining = undefined;
  }

  #takeBatch(): string[] {
    let count = 0;
    let length = 0;
    for (const line of this.#queue) {
      if (count > 0 && length + line.length > MAX_BATCH) break;
      length += line.length;
      count++;
    }
    this.#waiting -= length;
    return this.#queue.splice(0, count);
  }

  async #write(lines: readonly string[]): Promise<void> {
    const lost = this.#lost;
    const text = [...(lost > 0 ? [this.#lineOf({ audit: 'lost', count: lost })] : []), ...lines].join('');
    const done = this.#sink.write(text);
    this.#writing = done.catch(() => {});
    try {
      await done;
    } catch (error) {
      this.#lost += lines.length;
      this.#trouble(systemReason(error));
      return;
    }
    this.#lost -= lost;
    if (!this.#isTroubled || this.#lost > 0) return;
    this.#isTroubled = false;
    this.#options.complain(`writing the audit log ${this.#shown} again; ${lost} records were lost`);
  }

  /** Reports that records are being lost: once, until the log can be written again. */
  #trouble(why: string): void {
    if (this.#isTroubled) return;
    this.#isTroubled = true;
    this.#options.complain(
      `audit records are being lost: ${this.#shown}: ${printable(why)}; the tunnel continues, and the log will say how many are missing`,
    );
  }

  get #shown(): string {
    return this.#target === AUDIT_TO_OUTPUT ? 'standard output' : printable(this.#target);
  }
}

async function sinkOf(target: string, { stdout, complain }: AuditLogOptions): Promise<Sink> {
  return target === AUDIT_TO_OUTPUT ? outputSink(stdout) : await FileSink.open(target, complain);
}

/** Standard output belongs to the process, so it stays open. */
function outputSink(stdout: Output): Sink {
  return {
    write: async (text) => {
      const failure = stdout.tryLine?.(text);
      if (failure !== undefined) throw failure;
      if (stdout.tryLine !== undefined) return;
      await new Promise<void>((resolve, reject) => {
        stdout.write(text, (error) => {
          if (error) reject(error);
          else resolve();
        });
      });
    },
    close: async () => {},
  };
}

/** A file that only its owner may read, and that only grows. */
class FileSink implements Sink {
  readonly #handle: FileHandle;
  /** The file ends in the middle of a line: a full disk or a power failure cut it. */
  #isTorn: boolean;

  private constructor(handle: FileHandle, isTorn: boolean) {
    this.#handle = handle;
    this.#isTorn = isTorn;
  }

  static async open(file: string, complain: (message: string) => void): Promise<FileSink> {
    let handle: FileHandle | undefined;
    try {
      handle = await openOwn(file);
      const stats = await handle.stat();
      if (isForEveryone(stats))
        complain(
          `every user of this machine can use the audit log ${printable(file)} (mode ${modeText(stats.mode)}); run: chmod 600 ${printable(file)}`,
        );
      return new FileSink(handle, await isTorn(file, handle));
    } catch (cause) {
      await handle?.close();
      if (TunnelError.is(cause)) throw cause;
      throw unopened(file, systemReason(cause), cause);
    }
  }

  async write(text: string): Promise<void> {
    const bytes = Buffer.from(this.#isTorn ? `\n${text}` : text);
    let at = 0;
    try {
      while (at < bytes.length) {
        const { bytesWritten } = await this.#handle.write(bytes, at);
        if (bytesWritten <= 0) throw new Error('nothing more can be written');
        at += bytesWritten;
      }
    } finally {
      if (at > 0) await this.#endAfter(bytes.subarray(0, at));
    }
  }

  /** Takes back the beginning of a line that did not fit, so that programs which read the log find whole lines only. */
  async #endAfter(written: Uint8Array): Promise<void> {
    const tornBytes = written.length - (written.lastIndexOf(NEWLINE) + 1);
    this.#isTorn = tornBytes > 0;
    if (!this.#isTorn) return;
    try {
      const stats = await this.#handle.stat();
      if (!stats.isFile()) return;
      await this.#handle.truncate(stats.size - tornBytes);
      this.#isTorn = false;
    } catch {
      // The next line begins with a newline then.
    }
  }

  async close(): Promise<void> {
    // Every write has been answered; a failure to close says nothing useful.
    await this.#handle.close().catch(() => {});
  }
}

const unopened = (file: string, why: string, cause?: unknown): TunnelError =>
  new TunnelError('ERR_OUTPUT', `the audit log ${file} cannot be opened: ${why}`, { cause });

/** Opens a file to append to it. Refuses another user's file, and follows no link that another user has made. */
async function openOwn(file: string): Promise<FileHandle> {
  const link = await lstat(file).catch(() => undefined);
  const isLink = link?.isSymbolicLink() === true;
  if (isLink && !isTrustedOwner(link.uid))
    throw unopened(file, `it is a link that another user has made (uid ${link.uid}); name another file`);
  // A named pipe without a reader would block otherwise. Another user may have put a link in place of what was checked.
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | NO_WAITING;
  const handle = await open(file, isLink ? flags : flags | NO_LINK, 0o600);
  const stats = await handle.stat();
  // A terminal belongs to its user, whoever runs this.
  if ((stats.isFile() || stats.isFIFO()) && !isTrustedOwner(stats.uid)) {
    await handle.close();
    throw unopened(
      file,
      `it belongs to another user (uid ${stats.uid}); name another file, or - for standard output`,
    );
  }
  return handle;
}

/** Whether a file ends in the middle of a line. False when it cannot be read. */
async function isTorn(file: string, handle: FileHandle): Promise<boolean> {
  let reader: FileHandle | undefined;
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size === 0) return false;
    reader = await open(file, constants.O_RDONLY | NO_WAITING);
    const { buffer } = await reader.read(Buffer.alloc(1), 0, 1, stats.size - 1);
    return buffer[0] !== NEWLINE;
  } catch {
    // The file may be write-only, or another one may have its name by now.
    return false;
  } finally {
    await reader?.close();
  }
}
