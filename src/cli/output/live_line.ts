import type { Writable } from 'node:stream';

/** A stream that may be a terminal. */
export type MaybeTerminal = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Start of the line, and nothing in it (ECMA-48: CR, EL 2). */
const ERASE = '\r\u001b[2K';
/** Taken where the terminal does not tell its width. */
const COLUMNS = 80;

/** The last line of a terminal, that is written over again and again while others scroll past above it. */
export class LiveLine {
  readonly #terminal: MaybeTerminal;
  #text = '';

  constructor(terminal: MaybeTerminal) {
    this.#terminal = terminal;
  }

  /** Shows `text`, which is printable, cut to the terminal's width; an empty one removes the line. */
  show(text: string): void {
    // A line that wraps could not be erased; the last column makes some terminals wrap.
    const cut = text.slice(0, (this.#terminal.columns ?? COLUMNS) - 1);
    // What is not drawn before the next one need not be.
    if (cut === this.#text || this.#terminal.writableLength > 0) return;
    this.#text = cut;
    this.#terminal.write(`${ERASE}${cut}`);
  }

  /** What is to be written for `lines` to stand above it. */
  above(lines: string): string {
    return this.#text === '' ? lines : `${ERASE}${lines}${this.#text}`;
  }
}
