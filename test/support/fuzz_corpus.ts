import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { showInput } from './fuzz.js';
import type { FuzzInput } from './mutate.js';

/**
 * Inputs worth giving to a target again: those that revealed a bug, those that came close, and a few that
 * together reach every branch reached so far. There is one file per target and one input per line, as `text
 * "…"` or `bytes 00ff`. A comment starts with `#`.
 */
const folder = fileURLToPath(new URL('../corpus/', import.meta.url));
const ENDING = '.txt';

const fileOf = (target: string): string => `${folder}${target.replaceAll(' ', '-')}${ENDING}`;

export function readCorpus(target: string): FuzzInput[] {
  const file = fileOf(target);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(inputOf);
}

/** Adds the inputs that the corpus lacks. @returns their number */
export function addToCorpus(target: string, inputs: readonly FuzzInput[]): number {
  const known = new Set(readCorpus(target).map(showInput));
  const news = inputs.map(showInput).filter((line) => !known.has(line));
  mkdirSync(folder, { recursive: true });
  if (news.length > 0) appendFileSync(fileOf(target), `${news.join('\n')}\n`);
  return news.length;
}

/** The targets that have a file. */
export function corpusTargets(): string[] {
  return readdirSync(folder).map((name) => name.slice(0, -ENDING.length).replaceAll('-', ' '));
}

function inputOf(line: string): FuzzInput {
  if (line.startsWith('bytes ')) return Uint8Array.from(Buffer.from(line.slice(6), 'hex'));
  if (line.startsWith('text ')) return String(JSON.parse(line.slice(5)));
  throw new Error(`a corpus line is neither text nor bytes: ${line}`);
}
