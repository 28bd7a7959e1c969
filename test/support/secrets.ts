/** Finds secrets in the output of a process. */
import assert from 'node:assert/strict';
import type { CliProcess } from './cli_process.js';

/** This many consecutive characters of a secret cannot be a coincidence. */
const TELLING_CHARACTERS = 12;

/** The forms in which a secret could be printed, in lower case. */
export function spellings(secret: Uint8Array): string[] {
  const bytes = Buffer.from(secret);
  // Its base64 forms at each of the three alignments among other bytes.
  const shifted = [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .slice(4, 40);
    return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [bytes.toString('hex'), bytes.join(','), ...shifted].map((text) => text.toLowerCase());
}

/**
 * The secret of a ticket as the ticket spells it: from the 37th byte on, 5 bits per character, behind a
 * prefix of 4.
 */
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
      assert.equal(line, undefined, `${what} leaks ${piece}, a piece of a secret, in: ${line}`);
    }
  }
}

/** Everything that a process printed, except the fields whose purpose is to hand over a ticket. */
export function saidBy({ events, stderr }: CliProcess): string {
  const others = events.map(({ ticket: _ticket, command: _command, ...rest }) => JSON.stringify(rest));
  // The output for people also shows the ticket, indented, once within the command to run.
  const lines = stderr.split('\n').filter((line) => !/^ {2}(npx tox-wasm-tunnel )?twt1/.test(line));
  return [...others, ...lines].join('\n');
}
