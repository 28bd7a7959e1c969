import { TunnelError } from '../core/errors.js';
import { type Host, readHost } from '../core/host.js';
import type { PortRange } from '../core/ip.js';
import { withoutTickets } from '../core/secret_text.js';
import { readSocketPath } from './endpoint.js';
import { portOfService, withoutUrl, withPortNumbers } from './service_names.js';

/** One part of a string, and its position there. */
export interface Part {
  readonly text: string;
  readonly at: number;
}

/** Longest text that is read, in characters. The grammar needs far less. */
const MAX_SPEC_CHARS = 4096;
/** Characters shown of the wrong part, and on either side of it. */
const SHOWN_CHARS = 60;

const MAX_PORT = 0xffff;

/** What is wrong with a string of too many parts; the usual cause is an IPv6 address without brackets. */
export const TOO_MANY_PARTS = 'too many parts between colons: put an IPv6 address in brackets';

/**
 * The text of a forward or a rule while it is parsed. Each method reads one part. It throws ERR_SPEC_INVALID
 * with the part named in the text, what is wrong with it, and the correct form.
 */
export class SpecText {
  readonly #text: string;
  readonly #usage: string;

  /** @param usage grammar and example, as words that follow "write" */
  constructor(text: string, usage: string) {
    this.#text = text;
    this.#usage = usage;
    if (text.length > MAX_SPEC_CHARS)
      throw this.fault({ text, at: 0 }, `longer than ${MAX_SPEC_CHARS} characters`);
    const meant = withoutUrl(text);
    if (meant !== undefined)
      throw invalid(`"${quotable(text)}" is a URL; write only the host and the port: ${quotable(meant)}`);
  }

  /** Splits the text at its colons, except those inside brackets. */
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

  /** Returns the part without the brackets around it, if it has any. */
  unbracketed(part: Part, role: string): Part & { readonly brackets: boolean } {
    if (!/[[\]]/.test(part.text)) return { ...part, brackets: false };
    if (!/^\[[^[\]]*\]$/.test(part.text)) {
      throw this.fault(part, `${role} must begin and end with its brackets, around an IPv6 address`);
    }
    return { text: part.text.slice(1, -1), at: part.at + 1, brackets: true };
  }

  host(part: Part, role: string): Host {
    const { brackets, ...inner } = this.unbracketed(part, role);
    const host = readHost(inner.text);
    if (typeof host === 'string') throw this.fault(inner, `${role} ${host}`);
    if (brackets && !inner.text.includes(':'))
      throw this.fault(part, `${role} needs no brackets: only IPv6 addresses have them`);
    return host;
  }

  path(part: Part, role: string): { readonly path: string } {
    const path = readSocketPath(part.text);
    if (typeof path === 'string') throw this.fault(part, `${role} ${path}`);
    return path;
  }

  /** Reads a port in plain decimal, without a leading zero. @param lowest 0 where the system may pick a free port */
  port(part: Part, role: string, lowest: 0 | 1 = 1): number {
    const port = /^(?:0|[1-9]\d{0,4})$/.test(part.text) ? Number(part.text) : -1;
    if (port >= lowest && port <= MAX_PORT) return port;
    const usual = portOfService(part.text);
    if (usual === undefined) throw this.fault(part, `${role} must be a number from ${lowest} to 65535`);
    const numbered = this.#text.slice(0, part.at) + withPortNumbers(this.#text.slice(part.at));
    throw invalid(
      `"${quotable(this.#text)}": ports are numbers, and ${part.text} usually has port ${usual}: write ${quotable(numbered)}`,
    );
  }

  /** Reads one port, `from-to` from 1 on, or `*` for every port. @param lowest 0 where the system may pick a free port */
  portRange(part: Part, lowest: 0 | 1): PortRange {
    if (part.text === '*') return { from: lowest, to: MAX_PORT };
    const dash = part.text.indexOf('-');
    if (dash < 0) {
      const port = this.port(part, 'the port', lowest);
      return { from: port, to: port };
    }
    const from = this.port({ text: part.text.slice(0, dash), at: part.at }, 'the first port');
    const last = { text: part.text.slice(dash + 1), at: part.at + dash + 1 };
    const to = this.port(last, 'the last port');
    if (to < from) throw this.fault(part, 'the last port must not be below the first');
    return { from, to };
  }

  fault(part: Part, wrong: string): TunnelError {
    const end = part.at + part.text.length;
    const before = this.#text.slice(Math.max(0, part.at - SHOWN_CHARS), part.at);
    const wrongPart = part.text.slice(0, SHOWN_CHARS);
    const after = this.#text.slice(end, end + SHOWN_CHARS);
    const place = wrongPart === '' || before + after === '' ? '' : ` at "${quotable(wrongPart)}"`;
    return invalid(`"${quotable(before + wrongPart + after)}"${place}: ${wrong}; write ${this.#usage}`);
  }
}

function invalid(detail: string): TunnelError {
  return new TunnelError('ERR_SPEC_INVALID', detail);
}

/** Formats a range as {@link SpecText.portRange} reads it. */
export function printPortRange({ from, to }: PortRange, lowest: 0 | 1): string {
  if (from === to) return String(from);
  return from === lowest && to === MAX_PORT ? '*' : `${from}-${to}`;
}

const quotable = (text: string): string => withoutTickets(shown(text));

/** Makes text from a peer or a script printable on one line. */
export function shown(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, '?');
}
