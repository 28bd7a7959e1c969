import { readFileSync } from 'node:fs';

/**
 * Texts of `--help` and `--version` that the build has stored, by arguments such as `connect --help`.
 * Printing them loads neither commander nor any command, which would take most of the time.
 */
export type ReadyAnswers = Readonly<Record<string, string>>;

/** Width of the texts. For narrower terminals, commander formats the help. */
export const READY_COLUMNS = 80;

const LONG_FORMS: Readonly<Record<string, string>> = { '-h': '--help', '-V': '--version' };

/**
 * The file that the build writes next to this module. It is missing when the program runs from its sources.
 */
export const READY_ANSWERS_FILE = 'ready_answers.json';

/**
 * @param columns width of the terminal; undefined without one
 * @returns undefined for other arguments, or without a stored text
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
    // Our own build has written the file.
    return JSON.parse(readFileSync(new URL(READY_ANSWERS_FILE, import.meta.url), 'utf8')) as ReadyAnswers;
  } catch {
    // Let commander answer.
    return undefined;
  }
}
