import { readFileSync } from 'node:fs';

/**
 * What the build has written down: by the arguments (`connect --help`), what they print. To say so
 * needs neither commander nor any command, which are most of the time that `--help` takes.
 */
export type ReadyAnswers = Readonly<Record<string, string>>;

/** How wide the texts are, in columns. Commander folds for narrower terminals. */
export const READY_COLUMNS = 80;

const LONG_FORMS: Readonly<Record<string, string>> = { '-h': '--help', '-V': '--version' };

/** Where the build puts them: beside this file. From the sources there are none. */
export const READY_ANSWERS_FILE = 'ready_answers.json';

/**
 * @param columns of the terminal; undefined where there is none
 * @returns undefined when the arguments ask for something else, or the build has left nothing
 */
export function readyAnswer(args: readonly string[], columns: number | undefined): string | undefined {
  const last = args.at(-1) ?? '';
  const asked = LONG_FORMS[last] ?? last;
  if (args.length > 2 || (asked !== '--help' && asked !== '--version')) return undefined;
  if (columns !== undefined && columns < READY_COLUMNS) return undefined;
  const answers = readAnswers();
  const key = [...args.slice(0, -1), asked].join(' ');
  return answers !== undefined && Object.hasOwn(answers, key) ? answers[key] : undefined;
}

function readAnswers(): ReadyAnswers | undefined {
  try {
    // The build has written exactly this.
    return JSON.parse(readFileSync(new URL(READY_ANSWERS_FILE, import.meta.url), 'utf8')) as ReadyAnswers;
  } catch {
    // Commander answers then.
    return undefined;
  }
}
