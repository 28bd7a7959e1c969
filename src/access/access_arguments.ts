import {
  bytes,
  integer,
  listOf,
  nameError,
  objectOf,
  type Reader,
  text,
  wrongArgument,
} from '../core/arguments.js';
import { MAX_BYTES_PER_SECOND } from '../core/limits.js';
import { PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import { parseExposeSpec } from '../rules/expose.js';
import { parseReverseRule } from '../rules/reverse_rule.js';
import { MAX_RULES, MAX_USES } from './access_state.js';
import { parseName } from './name.js';
import type { AllowedPeer } from './peer_key.js';
import type { NewTicket } from './ticket_book.js';

/** Reads a public key from the program. */
export const publicKeyBytes = bytes(PUBLIC_KEY_BYTES);

/** Reads the name of a peer or a ticket. */
export const peerName: Reader<string> = (value, name) => {
  const given = text(value, name);
  return nameError(name, () => parseName(given));
};

export const allowedPeer: Reader<AllowedPeer> = objectOf({ publicKey: publicKeyBytes }, { name: peerName });

/** Reads rules as text, without the name of a peer or a ticket. */
function ruleTexts(parse: (text: string) => unknown): Reader<readonly string[]> {
  const read = listOf<string>((value, name) => {
    const given = text(value, name);
    nameError(name, () => parse(given));
    return given;
  });
  return (value, name) => {
    const rules = read(value, name);
    if (rules.length <= MAX_RULES) return rules;
    throw wrongArgument(name, `a list of at most ${MAX_RULES} rules`);
  };
}

/** Reads a new ticket. It refuses everything that the state file could not hold. */
export const newTicket: Reader<NewTicket> = objectOf(
  { name: peerName },
  {
    expiresAtMs: integer(0, Number.MAX_SAFE_INTEGER),
    graceMs: integer(0, Number.MAX_SAFE_INTEGER),
    uses: integer(1, MAX_USES),
    bytesPerSecond: integer(1, MAX_BYTES_PER_SECOND),
    rules: ruleTexts(parseExposeSpec),
    allowReverse: ruleTexts((rule) => parseReverseRule(rule)),
  },
);
