import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  formatTicket,
  isTicket,
  parseRemote,
  parseTicket,
  TICKET_CHARACTERS,
  type Ticket,
} from '../../src/access/ticket.js';
import { TunnelError } from '../../src/core/errors.js';
import { formatToxId, makeToxId } from '../../src/network/tox_id.js';
import { anyText } from '../support/any_text.js';

const protocol = readFileSync(new URL('../../docs/reference/protocol.md', import.meta.url), 'utf8');
const toxId = makeToxId(new Uint8Array(32).fill(0x11), Uint8Array.of(1, 2, 3, 4));
const TICKET = formatTicket({ toxId, secret: new Uint8Array(32).fill(0x55) });
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const tickets = fc
  .record({ key: bytes(32), nospam: bytes(4), secret: bytes(32) })
  .map(({ key, nospam, secret }) => ({ toxId: makeToxId(key, nospam), secret }));

/** What a ticket hides from comparisons, too. */
const parts = ({ toxId, secret }: Ticket): Ticket => ({ toxId, secret });

function refused(text: string): RegExpExecArray | null {
  try {
    parseTicket(text);
  } catch (error) {
    if (!TunnelError.is(error) || error.code !== 'ERR_TICKET_INVALID') throw error;
    return /.*/s.exec(error.message);
  }
  return null;
}

test('a ticket of golden bytes is the one in docs/reference/protocol.md', () => {
  assert.equal(TICKET.length, TICKET_CHARACTERS);
  assert.ok(protocol.includes(`\`${TICKET}\``), TICKET);
});

test('a printed ticket parses to the same ticket', () => {
  fc.assert(
    fc.property(tickets, (ticket) => {
      const text = formatTicket(ticket);
      assert.match(text, /^twt1[0-9a-hjkmnp-tv-z]{119}$/);
      assert.deepEqual(parts(parseTicket(text)), ticket);
      assert.deepEqual(parts(parseTicket(text.toUpperCase())), ticket);
    }),
    { numRuns: 500 },
  );
});

test('a ticket survives mail: broken lines, quotes, hyphens and look-alikes', () => {
  const noise = fc.constantFrom(' ', '\n', '\r\n> ', '\t', '-', '"', '>> ', '\u00ad', '\u200b');
  fc.assert(
    fc.property(
      tickets,
      fc.array(fc.tuple(fc.nat(TICKET_CHARACTERS), noise), { maxLength: 30, size: 'max' }),
      (ticket, breaks) => {
        let text = formatTicket(ticket);
        for (const [at, what] of breaks) text = text.slice(0, at) + what + text.slice(at);
        assert.deepEqual(parts(parseTicket(`"${text.replaceAll('1', 'l').replaceAll('0', 'O')}"\n`)), ticket);
      },
    ),
    { numRuns: 300 },
  );
});

test('one wrong character anywhere is detected, and so are two swapped ones', () => {
  for (let at = 0; at < TICKET.length; at++) {
    for (const digit of DIGITS) {
      if (digit === TICKET[at]) continue;
      assert.ok(refused(TICKET.slice(0, at) + digit + TICKET.slice(at + 1)), `${digit} at ${at}`);
    }
    const swapped = TICKET.slice(0, at) + (TICKET[at + 1] ?? '') + (TICKET[at] ?? '') + TICKET.slice(at + 2);
    if (swapped !== TICKET && swapped.length === TICKET.length)
      assert.ok(refused(swapped), `swapped at ${at}`);
  }
});

describe('an incomplete or damaged ticket', () => {
  test('every prefix reports how much is missing', () => {
    for (let length = 4; length < TICKET.length; length++) {
      const missing = TICKET.length - length;
      assert.match(
        refused(TICKET.slice(0, length))?.[0] ?? '',
        new RegExp(`its last ${missing} of 123 characters`),
      );
    }
    for (let length = 0; length < 4; length++) assert.ok(refused(TICKET.slice(0, length)));
  });

  for (const [name, text, says] of [
    ['too many characters', `${TICKET}0`, /1 characters more/],
    [
      'a character outside the alphabet',
      `${TICKET.slice(0, 9)}u${TICKET.slice(10)}`,
      /"u" at position 10 never occurs in a ticket/,
    ],
    ['an invisible character', `${TICKET.slice(0, 9)}\u0000`, /U\+0000 at position 10/],
    ['another prefix', `xwt1${TICKET.slice(4)}`, /does not begin with twt1/],
    ['a later version', `twt2${TICKET.slice(4)}`, /version 2.*update/],
    ['a very long text', 'x'.repeat(5000), /5000 characters/],
  ] as const) {
    test(`${name} is reported, without revealing the ticket`, () => {
      const message = refused(text)?.[0] ?? '';
      assert.match(message, says);
      assert.ok(!message.includes(TICKET.slice(20, 40)));
    });
  }
});

test('no input makes the reader fail in any other way', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ maxLength: 200, size: 'max' }), anyText({ maxLength: 200, size: 'max' })),
      (text) => {
        refused(text);
        refused(`twt1${text}`);
      },
    ),
    { numRuns: 2000 },
  );
});

test('a Tox ID is told apart from a ticket, even when mistyped', () => {
  const id = formatToxId(toxId);
  assert.ok(!isTicket(parseRemote(id)));
  assert.ok(isTicket(parseRemote(` ${TICKET}`)));
  const code = (text: string): string => {
    try {
      parseRemote(text);
      return '';
    } catch (error) {
      return TunnelError.is(error) ? error.code : '?';
    }
  };
  assert.equal(code(id.slice(1)), 'ERR_ADDRESS_INVALID');
  assert.equal(code(`${id.slice(0, -1)}x`), 'ERR_ADDRESS_INVALID');
  assert.equal(code(TICKET.slice(1)), 'ERR_TICKET_INVALID');
  assert.equal(code(TICKET.slice(0, 60)), 'ERR_TICKET_INVALID');
});
