import type { Writable } from 'node:stream';
import type { Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import type { Logger, LogLevel } from '../core/logger.js';
import type { CliEvent } from './events.js';
import { printable } from './human.js';
import { LiveLine, type MaybeTerminal } from './live_line.js';
import { Repeats } from './repeats.js';
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

/** How many `-v` a log line needs. */
const LOG_VERBOSITY: Readonly<Record<LogLevel, number>> = { error: 0, warn: 1, info: 1, debug: 2, trace: 3 };

/** The deepest level that is shown, by the times that `-v` was given. */
const LOG_LEVELS: readonly LogLevel[] = ['info', 'info', 'debug', 'trace'];

/** Tells what happens: to programs on stdout (`--json`), to people on stderr. */
export class Reporter {
  readonly #stdout: Writable;
  readonly #stderr: MaybeTerminal;
  /** Undefined where nobody would see it. */
  readonly #live: LiveLine | undefined;
  #verbosity: Verbosity;
  readonly #wallClock: () => Date;
  readonly #repeats: Repeats;
  #dropped = 0;

  constructor(
    stdout: Writable,
    stderr: MaybeTerminal,
    verbosity: Verbosity,
    { wallClock, timers }: { wallClock(): Date; readonly timers: Timers },
  ) {
    this.#repeats = new Repeats(timers, (line) => this.#line(line));
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#verbosity = verbosity;
    this.#wallClock = () => wallClock();
    if (stderr.isTTY === true && !verbosity.json && !verbosity.quiet) this.#live = new LiveLine(stderr);
  }

  event(event: CliEvent): void {
    this.#json(event);
    if (event.event === 'closed') this.#repeats.flush();
    const wording = wordingOf(event);
    if (wording === undefined) return;
    for (const text of wording.lines) {
      if (event.event !== 'refused') this.people(text, wording.verbosity);
      else if (this.#forPeople(wording.verbosity)) this.#repeats.add(text);
    }
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

  /** A result that scripts take from stdout when it is not JSON that they asked for. */
  result(text: string): void {
    if (!this.#verbosity.json) writeBounded(this.#stdout, `${text}\n`);
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
    this.#json({ event: 'error', code, message, ...(returnCode === undefined ? {} : { returnCode }) });
    if (this.#verbosity.json && this.#verbosity.verbose === 0) return;
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
    if (!this.#forPeople(LOG_VERBOSITY[level])) return;
    const rest = fields === undefined ? '' : ` ${JSON.stringify(fields)}`;
    const line = `${level}: ${printable(`${message}${rest}`)}`;
    if (level === 'warn') this.#repeats.add(line);
    else this.#line(line);
  }

  #line(text: string): void {
    writeBounded(this.#stderr, this.#live?.above(`${text}\n`) ?? `${text}\n`);
  }

  #forPeople(verbosity: number): boolean {
    const { json, verbose, quiet } = this.#verbosity;
    if (quiet || (json && verbose === 0)) return false;
    return verbose >= verbosity;
  }

  #json(event: CliEvent): void {
    if (!this.#verbosity.json) return;
    if (this.#dropped > 0) {
      // Half of the room first, or every other event would be about the one before.
      const isBehind = this.#stdout.writableLength > MAX_WAITING_BYTES / 2;
      if (!isBehind && this.#writeJson({ event: 'dropped', count: this.#dropped })) this.#dropped = 0;
    }
    if (this.#dropped > 0) this.#dropped++;
    else if (!this.#writeJson(event)) this.#dropped++;
  }

  #writeJson(event: CliEvent): boolean {
    const { event: name, ...fields } = event;
    const record = { event: name, time: this.#wallClock().toISOString(), ...fields };
    return writeBounded(this.#stdout, `${JSON.stringify(record)}\n`);
  }
}

/** False when so much waits already that this was left out. */
function writeBounded(stream: Writable, text: string): boolean {
  if (stream.destroyed || stream.writableLength + text.length > MAX_WAITING_BYTES) return false;
  stream.write(text);
  return true;
}
