/** Finding secrets in what a process says. */
import assert from 'node:assert/strict';
import type { CliProcess } from './cli_process.js';

/** So many characters of a secret in a row are no chance. */
const TELLING_CHARACTERS = 12;

/** A secret as it could be printed, in lower case. */
export function spellings(secret: Uint8Array): string[] {
  const bytes = Buffer.from(secret);
  // As base64 says them at each place that they can have among other bytes.
  const shifted = [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .slice(4, 40);
    return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [bytes.toString('hex'), bytes.join(','), ...shifted].map((text) => text.toLowerCase());
}

/** The secret of a ticket in the ticket's own spelling: from the 37th byte on, 5 bits a character, behind a mark of 4. */
export function secretInTicket(ticket: string): string {
  return ticket.slice(4 + Math.ceil((37 * 8) / 5), 4 + Math.floor((69 * 8) / 5));
}

export function assertSilent(what: string, said: string, secrets: readonly string[]): void {
  const lower = said.toLowerCase();
  for (const secret of secrets) {
    for (let at = 0; at + TELLING_CHARACTERS <= secret.length; at++) {
      const piece = secret.slice(at, at + TELLING_CHARACTERS);
      if (!lower.includes(piece)) continue;
      const line = lower.split('\n').find((each) => each.includes(piece));
      assert.equal(line, undefined, `${what} says ${piece}, a piece of a secret, in: ${line}`);
    }
  }
}

/** All that a process said, but for the fields that are there to hand a ticket over. */
export function saidBy({ events, stderr }: CliProcess): string {
  const others = events.map(({ ticket: _ticket, command: _command, ...rest }) => JSON.stringify(rest));
  // People are told the ticket too, in lines set in, one with the command to run.
  const lines = stderr.split('\n').filter((line) => !/^ {2}(npx tox-wasm-tunnel )?twt1/.test(line));
  return [...others, ...lines].join('\n');
}
