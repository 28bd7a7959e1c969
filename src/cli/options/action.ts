import { didYouMeanThen } from '../../core/arguments.js';
import { quotedWord } from '../../core/secret_text.js';
import { PROGRAM } from '../output/reporter.js';
import { usage } from './usage.js';

/** Short forms that every command with such an action accepts. */
const SHORT_FORMS: Readonly<Record<string, string>> = { rm: 'remove' };

/**
 * Reads the ACTION of a command.
 *
 * @param word as the user wrote it; undefined without one
 * @throws {TunnelError} ERR_USAGE, which lists the actions
 */
export function actionOf<Action extends string>(
  command: string,
  actions: readonly Action[],
  word: string | undefined,
): Action {
  const found = actions.find((action) => action === (SHORT_FORMS[word ?? ''] ?? word));
  if (found !== undefined) return found;
  const list = actions.join(', ').replace(/, ([^,]*)$/, ' or $1');
  const see = `see ${PROGRAM} ${command} --help`;
  if (word === undefined) throw usage(`${command} needs an action: ${list}; ${see}`);
  throw usage(
    `${command} has no action ${quotedWord(word)}${didYouMeanThen(word, actions)}give ${list}; ${see}`,
  );
}
