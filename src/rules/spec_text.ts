import { TunnelError } from '../core/errors.js';
import { type Host, readHost } from '../core/host.js';
import { readSocketPath } from './endpoint.js';

/** One part of a forward's text, and where in it. */
export interface Part {
  readonly text: string;
  readonly at: number;
}

/** Longest text looked at, in characters: the grammar needs far less. */
const MAX_SPEC_CHARS = 4096;
/** Characters shown on either side of what is wrong. */
const SHOWN_CHARS = 60;

/**
 * A text being parsed. Its methods read one part each and throw ERR_SPEC_INVALID with the part
 * marked in the text, what is wrong with it, and what a right text looks like.
 */
export class SpecText {
  readonly #text: string;
  readonly #usage: string;

  /** @param usage grammar and example, to stand after "write" */
  constructor(text: string, usage: string) {
    this.#text = text;
    this.#usage = usage;
    if (text.length > MAX_SPEC_CHARS)
      throw this.fault({ text, at: 0 }, `longer than ${MAX_SPEC_CHARS} characters`);
  }

  /** The parts between colons; a colon inside brackets parts nothing. */
  parts(): readonly Part[] {
    const parts: Part[] = [];
    let from = 0;
    let inside = false;
    for (let at = 0; at <= this.#text.length; at++) {
      const char = this.#text[at];
      if (char === '[') inside = true;
      else if (char === ']') inside = false;
      else if (char === undefined || (char === ':' && !inside)) {
        parts.push({ text: this.#text.slice(from, at), at: from });
        from = at + 1;
      }
    }
    return parts;
  }

  /** What is inside of the brackets, when the part has them. */
  unbracketed(part: Part, role: string): Part & { readonly brackets: boolean } {
    if (!/[[\]]/.test(part.text)) return { ...part, brackets: false };
    if (!/^\[[^[\]]*\]$/.test(part.text)) {
      throw this.fault(part, `${role} must have its brackets first and last, around an IPv6 address`);
    }
    return { text: part.text.slice(1, -1), at: part.at + 1, brackets: true };
  }

  host(part: Part, role: string): Host {
    const { brackets, ...inner } = this.unbracketed(part, role);
    const host = readHost(inner.text);
    if (typeof host === 'string') throw this.fault(inner, `${role} ${host}`);
    if (brackets && !inner.text.includes(':'))
      throw this.fault(part, `${role} needs no brackets: they are for IPv6`);
    return host;
  }

  path(part: Part, role: string): { readonly path: string } {
    const path = readSocketPath(part.text);
    if (typeof path === 'string') throw this.fault(part, `${role} ${path}`);
    return path;
  }

  /** A port in plain decimal, no leading zero. */
  port(part: Part, role: string, lowest: 0 | 1 = 1): number {
    const port = /^(?:0|[1-9]\d{0,4})$/.test(part.text) ? Number(part.text) : -1;
    if (port < lowest || port > 0xffff)
      throw this.fault(part, `${role} must be a number from ${lowest} to 65535`);
    return port;
  }

  fault(part: Part, wrong: string): TunnelError {
    const end = part.at + part.text.length;
    const before = shown(this.#text.slice(Math.max(0, part.at - SHOWN_CHARS), part.at));
    const marked = shown(part.text.slice(0, SHOWN_CHARS));
    const after = shown(this.#text.slice(end, end + SHOWN_CHARS));
    return new TunnelError(
      'ERR_SPEC_INVALID',
      `${before}>>${marked}<<${after}: ${wrong}; write ${this.#usage}`,
    );
  }
}

/** Printable on one line, whatever a peer or a script put into it. */
export function shown(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, '?');
}
