import type { Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { type Logger, type LogLevel, Repeats } from '../../core/logger.js';
import { withoutSecrets } from '../../core/secret_text.js';
import { systemReason } from '../../core/system_error.js';
import type { MaybeTerminal, Output } from '../process/output_stream.js';
import type { CliEvent } from './events.js';
import { printable, visibleJson } from './human.js';
import { LiveLine } from './live_status.js';
import { wordingOf } from './wording.js';

export interface Verbosity {
  readonly json: boolean;
  /** How often `-v` was given. */
  readonly verbose: number;
  readonly quiet: boolean;
  /** The command is part of another one, such as ssh: only errors and {@link Reporter.notice} appear. */
  readonly isPart?: boolean;
}

/** The name of this program, which starts every error line. */
export const PROGRAM = 'tox-wasm-tunnel';

/**
 * How many bytes of output may wait for a slow reader. Beyond that, lines are dropped and counted: a stopped
 * pager must neither fill the memory nor stop the tunnel.
 */
export const MAX_WAITING_BYTES = 1024 * 1024;

/** How long to count repeated lines before printing the count, in milliseconds. */
const REPEATS_WINDOW_MS = 10_000;

/** How many `-v` show each log level. */
const LOG_VERBOSITY: Readonly<Record<LogLevel, number>> = { error: 0, warn: 1, info: 1, debug: 2, trace: 3 };

/** The most detailed level to log, by the number of `-v`. */
const LOG_LEVELS: readonly LogLevel[] = ['info', 'info', 'debug', 'trace'];

/** What a {@link Reporter} needs of the process. */
export interface ReporterHost {
  wallClock(): Date;
  readonly timers: Timers;
  /** Writes no escape codes. Default false. */
  readonly isPlain?: boolean;
}

/** Reports what happens: to programs on stdout (`--json`), to people on stderr. */
export class Reporter {
  readonly #stdout: Output;
  readonly #stderr: Output & MaybeTerminal;
  /** Undefined unless a person watches a terminal. */
  readonly #live: LiveLine | undefined;
  #verbosity: Verbosity;
  readonly #wallClock: () => Date;
  readonly #repeats: Repeats;
  /** See {@link logEvents}. */
  #isLog = false;
  /** Events dropped since the last one that was written. */
  #dropped = 0;
  /** Why the last event could not be written. */
  #eventFailure: Error | undefined;
  /** How many lines for people could not be written since the last success. */
  #missed = 0;
  #missedFailure: Error | undefined;

  constructor(
    stdout: Output,
    stderr: Output & MaybeTerminal,
    verbosity: Verbosity,
    { wallClock, timers, isPlain = false }: ReporterHost,
  ) {
    this.#repeats = new Repeats(timers, REPEATS_WINDOW_MS, (line) => this.#line(line));
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#verbosity = verbosity;
    this.#wallClock = () => wallClock();
    const isLive = stderr.isTTY === true && !isPlain && !verbosity.json && !verbosity.quiet;
    if (isLive) this.#live = new LiveLine(stderr);
  }

  /**
   * Treats events as a log from now on, rather than as the result of the command: events that cannot be
   * written are dropped and counted, and the command continues.
   */
  logEvents(): void {
    this.#isLog = true;
  }

  event(event: CliEvent): void {
    this.#json(event);
    if (event.event === 'closed') this.flush();
    const wording = wordingOf(event);
    if (wording === undefined) return;
    for (const text of wording.lines) {
      if (event.event !== 'refused') this.people(text, wording.verbosity);
      else if (this.#forPeople(wording.verbosity)) this.#repeats.add(text);
    }
  }

  /** Prints the pending counts of repeated lines. Called at the end of a command. */
  flush(): void {
    this.#repeats.flush();
  }

  /** True when {@link status} is visible: a person watches a terminal. */
  get isLive(): boolean {
    return this.#live !== undefined && !this.#verbosity.quiet;
  }

  /** Prints only errors from now on, unless `-v` was given: the terminal now belongs to another program. */
  hush(): void {
    this.status('');
    if (this.#verbosity.verbose === 0) this.#verbosity = { ...this.#verbosity, quiet: true };
  }

  /** Changes how much is printed. Events stay where they are printed. */
  setVerbosity({ verbose, quiet }: Pick<Verbosity, 'verbose' | 'quiet'>): void {
    this.#verbosity = { ...this.#verbosity, verbose, quiet };
  }

  /** Sets the line below all others. An empty text removes it. */
  status(text: string): void {
    this.#live?.show(printable(text));
  }

  /**
   * Prints the result of a command on stdout for scripts, unless `--json` is given. It is never dropped: when
   * it cannot be written, the stream fails, and so does the command.
   */
  result(text: string): void {
    if (!this.#verbosity.json) this.#stdout.write(`${text}\n`);
  }

  /** Prints a line for people. @param verbosity how many `-v` show it */
  people(text: string, verbosity = 0): void {
    if (this.#forPeople(verbosity)) this.#line(text);
  }

  /** Prints a line that a person waits for, even when the command is part of another one. */
  notice(text: string): void {
    const { json, verbose, quiet } = this.#verbosity;
    if (!quiet && (!json || verbose > 0)) this.#line(text);
  }

  /** Prints an error in one line, even with `--quiet`; with its stack from `-vv` on. */
  error(error: unknown): void {
    const code = TunnelError.is(error) ? error.code : 'ERR_UNEXPECTED';
    const message = withoutSecrets(messageOf(error));
    const returnCode = TunnelError.is(error) ? error.returnCode : undefined;
    const isWritten = this.#json({
      ...{ event: 'error', code, message },
      ...(returnCode === undefined ? {} : { returnCode }),
    });
    if (isWritten && this.#verbosity.verbose === 0) return;
    this.#line(`${PROGRAM}: ${printable(message)}`);
    if (this.#verbosity.verbose < 2) return;
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      for (const text of withoutSecrets(cause.stack ?? cause.message).split('\n'))
        this.#line(printable(text));
    }
  }

  /** A logger whose level follows {@link setVerbosity}. */
  get logger(): Logger {
    const levelNow = (): LogLevel => LOG_LEVELS[this.#verbosity.verbose] ?? 'trace';
    return {
      get level() {
        return levelNow();
      },
      log: (...line) => this.#log(...line),
    };
  }

  #log(...[level, message, fields]: Parameters<Logger['log']>): void {
    // --quiet still shows errors.
    if (level !== 'error' && !this.#forPeople(LOG_VERBOSITY[level])) return;
    const rest = fields === undefined ? '' : ` ${JSON.stringify(fields)}`;
    const line = `${level}: ${printable(`${message}${rest}`)}`;
    if (level === 'warn') this.#repeats.add(line);
    else this.#line(line);
  }

  #line(text: string): void {
    if (this.#missed > 0) {
      const missing = `${this.#missed} lines are missing here: ${this.#missedFailure?.message}`;
      if (!this.#tryLine(missing)) return;
      this.#missed = 0;
    }
    this.#tryLine(text);
  }

  #tryLine(text: string): boolean {
    const failure = writeLine(this.#stderr, this.#live?.above(`${text}\n`) ?? `${text}\n`);
    if (!(failure instanceof Error)) return true;
    this.#missed++;
    this.#missedFailure = failure;
    return false;
  }

  #forPeople(verbosity: number): boolean {
    const { json, verbose, quiet, isPart = false } = this.#verbosity;
    if (quiet || isPart || (json && verbose === 0)) return false;
    return verbose >= verbosity;
  }

  /** Returns false when the event was dropped, or `--json` is not given. */
  #json(event: CliEvent): boolean {
    if (!this.#verbosity.json) return false;
    if (this.#dropped > 0) {
      // Wait until half of the buffer is free; otherwise every other event would report a dropped one.
      const isBehind = this.#stdout.writableLength > MAX_WAITING_BYTES / 2;
      const count = this.#dropped;
      const message = this.#eventFailure?.message;
      const dropped = { event: 'dropped', count, ...(message === undefined ? {} : { message }) } as const;
      if (!isBehind && this.#writeJson(dropped)) this.#onEventsResume();
    }
    if (this.#dropped === 0 && this.#writeJson(event)) return true;
    this.#dropped++;
    return false;
  }

  #writeJson(event: CliEvent): boolean {
    const { event: name, ...fields } = event;
    const record = { event: name, time: this.#wallClock().toISOString(), ...fields };
    const line = `${visibleJson(record)}\n`;
    // Errors can go to stderr too. Other events fail with the stream, unless they are a log.
    const answer =
      this.#isLog || name === 'error' ? writeLine(this.#stdout, line) : writeBounded(this.#stdout, line);
    if (answer instanceof Error) this.#onEventFailure(answer);
    return answer === true;
  }

  /** Reports the failure once, on the other stream. */
  #onEventFailure(failure: Error): void {
    const isFirst = this.#eventFailure === undefined && this.#isLog;
    this.#eventFailure = failure;
    if (isFirst && this.#stdout !== this.#stderr)
      this.#line(
        `${PROGRAM}: dropping events until standard output can be written again: ${printable(failure.message)}`,
      );
  }

  #onEventsResume(): void {
    if (this.#eventFailure !== undefined && this.#stdout !== this.#stderr)
      this.#line(`${PROGRAM}: writing events again; ${this.#dropped} were dropped`);
    this.#eventFailure = undefined;
    this.#dropped = 0;
  }
}

/** The message of an error. For an error of the system, our words for it. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const reason = TunnelError.is(error) ? error.message : systemReason(error);
  const isPlaced = reason !== error.message && 'path' in error && typeof error.path === 'string';
  return isPlaced ? `${error.path}: ${reason}` : reason;
}

/**
 * Returns true when the line was written, false when it was dropped, or the error. The stream stays usable.
 */
function writeLine(stream: Output, text: string): boolean | Error {
  return stream.tryLine === undefined ? writeBounded(stream, text) : (stream.tryLine(text) ?? true);
}

/** Returns false when the text was dropped because too much is waiting already. */
function writeBounded(stream: Output, text: string): boolean {
  const { writableLength } = stream;
  if (!stream.writable || (writableLength > 0 && writableLength + text.length > MAX_WAITING_BYTES))
    return false;
  stream.write(text);
  return true;
}
