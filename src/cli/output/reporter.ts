import type { Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import type { Logger, LogLevel } from '../../core/logger.js';
import { Repeats } from '../../core/logger.js';
import type { CliEvent } from './events.js';
import { printable } from './human.js';
import { LiveLine, type MaybeTerminal } from './live_line.js';
import type { Output } from './output.js';
import { wordingOf } from './wording.js';

export interface Verbosity {
  readonly json: boolean;
  /** Times that `-v` was given. */
  readonly verbose: number;
  readonly quiet: boolean;
}

/** The name that lines about errors start with, as of every well-behaved command. */
export const PROGRAM = 'tox-wasm-tunnel';

/**
 * Most that may wait for a reader of our output, in bytes. Beyond it lines are left out and
 * counted: a stopped pager must neither fill the memory nor stop the tunnel.
 */
export const MAX_WAITING_BYTES = 1024 * 1024;

/** How long repeated lines are counted before their number is shown, in milliseconds. */
const REPEATS_WINDOW_MS = 10_000;

/** How many `-v` a log line needs. */
const LOG_VERBOSITY: Readonly<Record<LogLevel, number>> = { error: 0, warn: 1, info: 1, debug: 2, trace: 3 };

/** The deepest level that is shown, by the times that `-v` was given. */
const LOG_LEVELS: readonly LogLevel[] = ['info', 'info', 'debug', 'trace'];

/** Tells what happens: to programs on stdout (`--json`), to people on stderr. */
export class Reporter {
  readonly #stdout: Output;
  readonly #stderr: Output & MaybeTerminal;
  /** Undefined where nobody would see it. */
  readonly #live: LiveLine | undefined;
  #verbosity: Verbosity;
  readonly #wallClock: () => Date;
  readonly #repeats: Repeats;
  /** Events are a log: see {@link logEvents}. */
  #isLog = false;
  /** Events that were left out since the last one that was written. */
  #dropped = 0;
  /** Why the last event could not be written. */
  #eventFailure: Error | undefined;
  /** Lines for people that could not be written since the last one that was, and why. */
  #unsaid = 0;
  #unsaidFailure: Error | undefined;

  constructor(
    stdout: Output,
    stderr: Output & MaybeTerminal,
    verbosity: Verbosity,
    { wallClock, timers }: { wallClock(): Date; readonly timers: Timers },
  ) {
    this.#repeats = new Repeats(timers, REPEATS_WINDOW_MS, (line) => this.#line(line));
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#verbosity = verbosity;
    this.#wallClock = () => wallClock();
    if (stderr.isTTY === true && !verbosity.json && !verbosity.quiet) this.#live = new LiveLine(stderr);
  }

  /**
   * From now on events are a log rather than what the command is there for: those that cannot be written are left
   * out and counted, and the command goes on.
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

  /** Shows the pending numbers of repeated lines. Call it at the end of a command. */
  flush(): void {
    this.#repeats.flush();
  }

  /** Somebody looks at a terminal: {@link status} is shown. */
  get isLive(): boolean {
    return this.#live !== undefined;
  }

  /** From now on people hear of errors alone, unless they asked for more: the terminal is somebody else's. */
  hush(): void {
    this.status('');
    if (this.#verbosity.verbose === 0) this.#verbosity = { ...this.#verbosity, quiet: true };
  }

  /** The line below all others, written over by the next one; empty to remove it. */
  status(text: string): void {
    this.#live?.show(printable(text));
  }

  /**
   * A result that scripts take from stdout when it is not JSON that they asked for. It is never left out: where it
   * cannot be written the stream fails, and the command with it.
   */
  result(text: string): void {
    if (!this.#verbosity.json) this.#stdout.write(`${text}\n`);
  }

  /** One line for people, shown from so many `-v` on. */
  people(text: string, verbosity = 0): void {
    if (this.#forPeople(verbosity)) this.#line(text);
  }

  /** One line, even when quiet; its stack from `-vv` on. */
  error(error: unknown): void {
    const code = TunnelError.is(error) ? error.code : 'ERR_UNEXPECTED';
    const message = error instanceof Error ? error.message : String(error);
    const returnCode = TunnelError.is(error) ? error.returnCode : undefined;
    const isTold = this.#json({
      ...{ event: 'error', code, message },
      ...(returnCode === undefined ? {} : { returnCode }),
    });
    if (isTold && this.#verbosity.verbose === 0) return;
    this.#line(`${PROGRAM}: ${printable(message)}`);
    if (this.#verbosity.verbose < 2) return;
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      for (const text of (cause.stack ?? cause.message).split('\n')) this.#line(printable(text));
    }
  }

  get logger(): Logger {
    const level = LOG_LEVELS[this.#verbosity.verbose] ?? 'trace';
    return { level, log: (...line) => this.#log(...line) };
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
    if (this.#unsaid > 0) {
      const missing = `${this.#unsaid} lines are missing here: ${this.#unsaidFailure?.message}`;
      if (!this.#tryLine(missing)) return;
      this.#unsaid = 0;
    }
    this.#tryLine(text);
  }

  #tryLine(text: string): boolean {
    const failure = writeLine(this.#stderr, this.#live?.above(`${text}\n`) ?? `${text}\n`);
    if (!(failure instanceof Error)) return true;
    this.#unsaid++;
    this.#unsaidFailure = failure;
    return false;
  }

  #forPeople(verbosity: number): boolean {
    const { json, verbose, quiet } = this.#verbosity;
    if (quiet || (json && verbose === 0)) return false;
    return verbose >= verbosity;
  }

  /** False when it was left out, or not asked for. */
  #json(event: CliEvent): boolean {
    if (!this.#verbosity.json) return false;
    if (this.#dropped > 0) {
      // Half of the room first, or every other event would be about the one before.
      const isBehind = this.#stdout.writableLength > MAX_WAITING_BYTES / 2;
      const count = this.#dropped;
      const message = this.#eventFailure?.message;
      const dropped = { event: 'dropped', count, ...(message === undefined ? {} : { message }) } as const;
      if (!isBehind && this.#writeJson(dropped)) this.#onEventsBack();
    }
    if (this.#dropped === 0 && this.#writeJson(event)) return true;
    this.#dropped++;
    return false;
  }

  #writeJson(event: CliEvent): boolean {
    const { event: name, ...fields } = event;
    const record = { event: name, time: this.#wallClock().toISOString(), ...fields };
    const line = `${JSON.stringify(record)}\n`;
    // An error has a second way; everything else that is no log fails with the stream.
    const answer =
      this.#isLog || name === 'error' ? writeLine(this.#stdout, line) : writeBounded(this.#stdout, line);
    if (answer instanceof Error) this.#onEventFailure(answer);
    return answer === true;
  }

  /** Told once, on the other stream. */
  #onEventFailure(failure: Error): void {
    const isNews = this.#eventFailure === undefined && this.#isLog;
    this.#eventFailure = failure;
    if (isNews && this.#stdout !== this.#stderr)
      this.#line(
        `${PROGRAM}: events cannot be written to standard output, and are left out until they can: ${printable(failure.message)}`,
      );
  }

  #onEventsBack(): void {
    if (this.#eventFailure !== undefined && this.#stdout !== this.#stderr)
      this.#line(`${PROGRAM}: events are written again; ${this.#dropped} were left out`);
    this.#eventFailure = undefined;
    this.#dropped = 0;
  }
}

/** True, false when so much waits already that it was left out, or why it could not be written; the stream stays usable. */
function writeLine(stream: Output, text: string): boolean | Error {
  return stream.tryLine === undefined ? writeBounded(stream, text) : (stream.tryLine(text) ?? true);
}

/** False when so much waits already that this was left out. */
function writeBounded(stream: Output, text: string): boolean {
  const { writableLength } = stream;
  if (!stream.writable || (writableLength > 0 && writableLength + text.length > MAX_WAITING_BYTES))
    return false;
  stream.write(text);
  return true;
}
