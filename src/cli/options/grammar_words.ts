import { isAbsolute, resolve } from 'node:path';
import type { Option } from 'commander';

/** Whether the value of an option names a file or folder. */
export function isPathOption(option: Option): boolean {
  return /<(FILE|DIR)>/.test(option.flags);
}

/**
 * The words that say what the flags say, for another call of this program, wherever it is called:
 * names of files become absolute ones.
 */
export function wordsOf(options: readonly Option[], flags: Readonly<Record<string, unknown>>): string[] {
  return options.flatMap((option) => {
    const value = flags[option.attributeName()];
    const name = option.long ?? option.flags;
    if (option.negate) return value === false ? [name] : [];
    if (typeof value === 'boolean') return value ? [name] : [];
    if (typeof value === 'number') return Array.from({ length: value }, () => name);
    const texts: unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
    return texts.flatMap((text) => [name, isPathOption(option) ? absolute(String(text)) : String(text)]);
  });
}

function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(path);
}
