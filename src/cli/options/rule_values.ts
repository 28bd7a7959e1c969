import { TunnelError } from '../../core/errors.js';
import { looksLikeName } from '../../core/host.js';
import { type IsName, type ReadRule, readRule } from '../../rules/expose.js';
import { parseReverseRule } from '../../rules/reverse_rule.js';
import { readValues } from './named_value.js';

/** What to write when no rule says what is open. */
export const NAME_A_RULE =
  "name what ticket holders may reach: --expose 22 (one port), --allow-reverse 8080 (a port for -R), --expose none (only what a ticket's own rules open), or --expose 'localhost:*' (every port of the loopback)";

/** {@link readRule} for the command line: the error about an unknown name says which option and command make one. */
export function readNamedRule(text: string, isName: IsName): ReadRule {
  return readRule(text, isName, 'create it with --allow-peer NAME=KEY or ticket new --name NAME');
}

/**
 * Rejects rules that no listener accepts, before one is asked. Only the listener knows the names of peers and tickets,
 * so a rule passes when names could make it valid.
 *
 * @param name the option or argument of `rules`
 * @throws {TunnelError} ERR_SPEC_INVALID, ERR_USAGE
 */
export function expectRules(name: string, rules: readonly string[] | undefined): void {
  readValues(name, rules, (text) => expectRule(text, readNamedRule));
}

/** {@link expectRules} for `--allow-reverse`. */
export function expectReverseRules(rules: readonly string[] | undefined): void {
  readValues('--allow-reverse', rules, (text) => expectRule(text, parseReverseRule));
}

function expectRule(text: string, read: (text: string, isName: IsName) => unknown): void {
  try {
    read(text, () => false);
  } catch (error) {
    try {
      read(text, looksLikeName);
    } catch (other) {
      // ERR_USAGE only says that we know no names.
      throw TunnelError.is(error) && error.code === 'ERR_USAGE' ? other : error;
    }
  }
}
