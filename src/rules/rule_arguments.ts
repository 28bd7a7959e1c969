import {
  integer,
  listOf,
  objectOf,
  oneOf,
  type Reader,
  reparsed,
  text,
  wrongArgument,
} from '../core/arguments.js';
import { socketPathArgument } from './address_arguments.js';
import { parseExposeSpec, printExposeSpec, type Rule } from './expose.js';
import { parseReverseRule, printReverseRule, type ReverseRule } from './reverse_rule.js';

const anyPort = integer(0, 0xffff);
const range = objectOf({ from: anyPort, to: anyPort }, {});
const unchecked: Reader<unknown> = (value) => value;

/**
 * Reads a rule object. It accepts one only if it survives printing and parsing.
 *
 * @param peerName reads the name of a peer or ticket
 */
export function ruleObject(peerName: Reader<string> = text): Reader<Rule> {
  const parts = objectOf(
    {},
    {
      name: peerName,
      host: unchecked,
      ports: listOf(range),
      protocol: oneOf('tcp', 'udp'),
      path: socketPathArgument,
    },
  );
  return (value, name) => {
    const { name: owner, ...spec } = parts(value, name);
    const read = reparsed(spec, printExposeSpec, parseExposeSpec);
    if (read === undefined)
      throw wrongArgument(name, "a rule, such as '22', 'localhost:80,443' or a result of parseExposeSpec");
    return owner === undefined ? read : { name: owner, ...read };
  };
}

/** {@link ruleObject} for the ports that a peer may open. */
export function reverseRuleObject(peerName: Reader<string> = text): Reader<ReverseRule> {
  const parts = objectOf({ bind: unchecked, ports: range }, { name: peerName });
  return (value, name) => {
    const { name: owner, ...spec } = parts(value, name);
    const read = reparsed(spec, printReverseRule, (rule) => parseReverseRule(rule));
    if (read === undefined)
      throw wrongArgument(name, "a rule, such as '8080', '0.0.0.0:80' or a result of parseReverseRule");
    return owner === undefined ? read : { name: owner, ...read };
  };
}
