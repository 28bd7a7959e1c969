import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseBootstrapLine,
  parseDynamicSpec,
  parseExposeSpec,
  parseIdentity,
  parseLocalSpec,
  parseRemote,
  parseReverseRule,
  parseReverseSpec,
  parseTicket,
  parseToxId,
  parseUdpSpec,
} from '../../src/index.js';
import { failsWith } from '../support/fails_with.js';

test('parsers refuse what is not a text, as an argument', () => {
  for (const [name, parse] of Object.entries({
    parseTicket,
    parseRemote,
    parseToxId,
    parseIdentity,
    parseBootstrapLine,
    parseExposeSpec,
    parseLocalSpec,
    parseUdpSpec,
    parseReverseSpec,
    parseDynamicSpec,
    parseReverseRule,
  }))
    for (const wrong of [undefined, null, 7, {}])
      assert.throws(
        () => parse(wrong as unknown as string),
        failsWith('ERR_ARGUMENT_INVALID', new RegExp(`${name}\\(\\): its argument must be a string`)),
      );
});
