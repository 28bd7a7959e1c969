import { isDeepStrictEqual } from 'node:util';
import { detailOf, TunnelError } from './errors.js';

/**
 * Checks one argument from the program and converts it to the library's own form.
 *
 * @param name of the argument, for the error. The error never shows the value, which may be secret
 * @throws {TunnelError} ERR_ARGUMENT_INVALID, or the error of the text parser
 */
export type Reader<Value> = (value: unknown, name: string) => Value;

type Readers = Readonly<Record<string, Reader<unknown>>>;
type Values<Of extends Readers> = { readonly [Key in keyof Of]: ReturnType<Of[Key]> };

export function wrongArgument(name: string, wanted: string): TunnelError {
  return new TunnelError('ERR_ARGUMENT_INVALID', `${name} must be ${wanted}`);
}

export const boolean: Reader<boolean> = (value, name) => {
  if (typeof value === 'boolean') return value;
  throw wrongArgument(name, 'true or false');
};

export const text: Reader<string> = (value, name) => {
  if (typeof value === 'string') return value;
  throw wrongArgument(name, 'a string');
};

/** For callers without types. @throws {TunnelError} ERR_ARGUMENT_INVALID @param call such as `parseTicket()` */
export function expectText(value: unknown, call: string): asserts value is string {
  if (typeof value !== 'string') throw wrongArgument(`${call}: its argument`, 'a string');
}

export function integer(least: number, most: number): Reader<number> {
  return (value, name) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    throw wrongArgument(name, `a whole number from ${least} to ${most}`);
  };
}

/** Reads a duration; Infinity means no limit. */
export const milliseconds: Reader<number> = (value, name) => {
  if (typeof value === 'number' && value >= 0) return value;
  throw wrongArgument(name, 'a number of milliseconds, 0 or more');
};

export function oneOf<Word extends string>(...words: readonly Word[]): Reader<Word> {
  return (value, name) => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw wrongArgument(name, words.map((word) => JSON.stringify(word)).join(' or '));
  };
}

/** Copies the bytes, because the program may change its own later. */
export function bytes(length: number): Reader<Uint8Array> {
  return (value, name) => {
    // Not instanceof: each realm has its own class.
    const isBytes = Object.prototype.toString.call(value) === '[object Uint8Array]';
    if (isBytes && (value as Uint8Array).length === length) return Uint8Array.from(value as Uint8Array);
    throw wrongArgument(name, `a Uint8Array of ${length} bytes`);
  };
}

/** Accepts an AbortSignal from any realm. */
export const signal: Reader<AbortSignal> = (value, name) => {
  const given = value as Partial<AbortSignal> | null | undefined;
  if (typeof given?.aborted === 'boolean' && typeof given.addEventListener === 'function')
    return given as AbortSignal;
  throw wrongArgument(name, 'an AbortSignal');
};

export function listOf<Value>(read: Reader<Value>): Reader<readonly Value[]> {
  return (value, name) => {
    if (!Array.isArray(value)) throw wrongArgument(name, 'an array');
    return value.map((each, at) => read(each, `${name}[${at}]`));
  };
}

/** Accepts the text form of the command line as well. */
export function textOr<Value>(parse: (text: string) => Value, read: Reader<Value>): Reader<Value> {
  return (value, name) => {
    if (typeof value === 'string') return nameError(name, () => parse(value));
    if (typeof value !== 'object' || value === null) throw wrongArgument(name, 'text, or an object');
    return read(value, name);
  };
}

/**
 * Reads an object with these keys. A key whose value is undefined counts as missing. When `name` ends in `()`, the
 * object is the argument of that call: errors say `listen(): expose`, not `listen().expose`.
 *
 * @param need required keys
 * @param may optional keys
 * @param others what to do with other keys
 */
export function objectOf<Need extends Readers, May extends Readers>(
  need: Need,
  may: May,
  others: 'refused' | 'ignored' = 'refused',
): Reader<Values<Need> & Partial<Values<May>>> {
  const readers: Readers = { ...need, ...may };
  const keys = Object.keys(readers);
  return (value, name) => {
    const isCall = name.endsWith('()');
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw wrongArgument(isCall ? `${name}: its argument` : name, `an object with ${keys.join(', ')}`);
    const place = isCall ? `${name}: ` : `${name}.`;
    for (const key of Object.keys(value)) {
      if (others === 'ignored' || keys.includes(key)) continue;
      const hint = didYouMean(key, keys) || `; valid options: ${keys.join(', ')}`;
      throw new TunnelError(
        'ERR_ARGUMENT_INVALID',
        `${isCall ? place : `${name}: `}unknown option ${key}${hint}`,
      );
    }
    const read: Record<string, unknown> = {};
    for (const [key, reader] of Object.entries(readers)) {
      const given = (value as Record<string, unknown>)[key];
      if (given !== undefined || key in need) read[key] = reader(given, `${place}${key}`);
    }
    // Each reader returned its own type, which TypeScript cannot follow through the loop.
    return read as Values<Need> & Partial<Values<May>>;
  };
}

/**
 * Accepts a value that has a text form only if it survives printing and parsing.
 *
 * @param print formats a valid value; anything else may make it throw
 */
export function reparsed<Value>(
  value: unknown,
  print: (value: Value) => string,
  parse: (text: string) => Value,
): Value | undefined {
  try {
    // Anything but a Value fails here or in the comparison.
    const read = parse(print(value as Value));
    return isDeepStrictEqual(read, value) ? read : undefined;
  } catch {
    return undefined;
  }
}

/** Runs a parser, and prefixes the message of its error with the argument's name. */
export function nameError<Value>(name: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    throw new TunnelError(error.code, `${name}: ${detailOf(error)}`);
  }
}

/** Finds the word that is closest to a mistyped one; undefined when none is close. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of words) {
    const edits = distance(word, candidate);
    if (edits < least) [best, least] = [candidate, edits];
  }
  return best;
}

/** Returns `; did you mean "listen"?`, or an empty text when no word is close. */
export function didYouMean(word: string, words: Iterable<string>): string {
  const best = nearest(word, words);
  return best === undefined ? '' : `; did you mean ${JSON.stringify(best)}?`;
}

/** {@link didYouMean} between two clauses: `; did you mean "listen"? `, or only `; `. */
export function didYouMeanThen(word: string, words: Iterable<string>): string {
  return `${didYouMean(word, words) || ';'} `;
}

/** Counts the insertions, deletions and replacements between two words (Levenshtein distance). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
