import { TunnelError } from '../core/errors.js';
import { EXPOSE_USAGE, type ExposeSpec, parseExposeSpec, printExposeSpec } from './expose.js';
import { looksLikePath } from './socket_path.js';
import { SpecText } from './spec_text.js';

/** One `--expose`: what peers may reach, or what one peer or ticket may. */
export type Rule = ExposeSpec & {
  /** Name of the peer or ticket that it is for; undefined: for all that have no rules of their own. */
  readonly name?: string;
};

/** Who is known by name: peers by `--allow-peer NAME=KEY`, and tickets. */
export type IsName = (name: string) => boolean;

/** What a rule is read as, and what is worth saying about that. */
export interface ReadRule {
  readonly rule: Rule;
  /** Set when the text could have meant something else. */
  readonly note?: string;
}

/**
 * Reads the argument of `--expose`, which may name a peer or a ticket.
 *
 * | text                      | means                                                     |
 * |---------------------------|-----------------------------------------------------------|
 * | `22`, `db.lan:5432`, …    | for all: what {@link parseExposeSpec} reads               |
 * | `laptop:10.0.0.0/24:80`   | for laptop alone; laptop must be known                    |
 * | `laptop:22`               | for laptop alone, localhost:22, when laptop is known;     |
 * |                           | else the host laptop, for all                             |
 * | `laptop.:22`              | the host laptop, for all: a name of ours ends in no dot   |
 * | `laptop:/run/app.sock`    | for laptop alone; laptop must be known                    |
 *
 * So where both could be meant, the reading that opens less is taken.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID; ERR_USAGE for a name that nobody has
 */
export function readRule(text: string, isName: IsName): ReadRule {
  const parts = new SpecText(text, EXPOSE_USAGE).parts();
  const first = parts[0]?.text ?? '';
  const name = first.toLowerCase();
  const isPath = parts.length === 2 && looksLikePath(parts[1]?.text ?? '');
  if (parts.length === 3 || isPath) {
    if (!isName(name)) throw unknownName(text, first);
    return { rule: { name, ...parseExposeSpec(text.slice(first.length + 1)) } };
  }
  if (parts.length !== 2 || !isName(name)) return { rule: parseExposeSpec(text) };
  const spec = parseExposeSpec(text.slice(first.length + 1));
  const note = `${text} opens ${printExposeSpec(spec)} to ${name} alone; a host of that name is written ${name}.:PORT`;
  return { rule: { name, ...spec }, note };
}

/** What {@link readRule} reads back as the same. */
export function printRule(rule: Rule, isName: IsName = () => false): string {
  const text = printExposeSpec(rule);
  if (rule.name !== undefined) return `${rule.name}:${text}`;
  if ('path' in rule) return text;
  const { host } = rule;
  return host.kind === 'name' && isName(host.name) ? text.replace(':', '.:') : text;
}

function unknownName(text: string, name: string): TunnelError {
  return new TunnelError(
    'ERR_USAGE',
    `${JSON.stringify(text.slice(0, 100))}: no peer and no ticket is called ${JSON.stringify(name.slice(0, 64))}; declare it with --allow-peer NAME=KEY or ticket new --name NAME (an IPv6 address stands in brackets)`,
  );
}
