import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { looksLikeTicket, quotedWord, withoutLongTickets } from '../../src/core/secret_text.js';
import { parseToxId } from '../../src/network/tox_id.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const TICKET = formatTicket({
  toxId: parseToxId(ID),
  secret: Uint8Array.from({ length: 32 }, (_, at) => at * 7),
});

describe('a piece of a ticket or Tox ID is recognized', () => {
  for (const piece of [
    TICKET,
    TICKET.slice(0, 32),
    TICKET.slice(0, 5),
    TICKET.slice(70, 100),
    ID.slice(4, 14),
  ])
    test(piece, () => {
      assert.ok(looksLikeTicket(piece));
      assert.ok(looksLikeTicket(piece.toUpperCase()));
      assert.equal(quotedWord(`x:${piece}:22`), '"x:...:22"');
    });
});

describe('a name or a port is not', () => {
  for (const word of [
    'home',
    'lisen',
    'laptop',
    'webserver2',
    'raspberrypi4',
    'webserver01',
    'database2024',
    '65536',
    '123456789012',
    'sweet-pea',
  ])
    test(word, () => {
      assert.ok(!looksLikeTicket(word));
      assert.equal(quotedWord(word), `"${word}"`);
    });
});

test('a public key stays readable in an error, and a ticket does not', () => {
  assert.equal(withoutLongTickets(`no peer ${ID.slice(0, 64)}`), `no peer ${ID.slice(0, 64)}`);
  assert.equal(withoutLongTickets(`x ${TICKET} y`), 'x twt1… y');
});
