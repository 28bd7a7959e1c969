import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { formatTicket } from '../../src/access/ticket.js';
import { grammar, loadCommand } from '../../src/cli/program.js';
import { withoutSecrets } from '../../src/core/secret_text.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

/** No message may repeat so many characters of a secret in a row. */
const SHOWN_AT_MOST = 19;
const temp = new TempFolder();
after(() => temp.remove());

const tickets = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((secret) =>
  formatTicket({
    toxId: parseToxId('56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5'),
    secret,
  }),
);

/** Ways in which people damage a ticket: a cut, another case, a wrong character, something before or after it. */
const damaged = fc
  .record({
    ticket: tickets,
    from: fc.nat(60),
    drop: fc.nat(40),
    at: fc.nat(122),
    wrong: fc.constantFrom('', 'l', 'o', 'I', 'u', '-', ' ', '.', ':', '/'),
    isUpper: fc.boolean(),
    before: fc.constantFrom('', 'x', 'home:', '"'),
    behind: fc.constantFrom('', ':22', '=', '/x'),
  })
  .map(({ ticket, from, drop, at, wrong, isUpper, before, behind }) => {
    const changed = wrong === '' ? ticket : `${ticket.slice(0, at)}${wrong}${ticket.slice(at + 1)}`;
    const cut = changed.slice(from, changed.length - drop);
    return { ticket, text: `${before}${isUpper ? cut.toUpperCase() : cut}${behind}` };
  });

function assertHides(shown: string, secret: string, how: string): void {
  const [text, whole] = [shown.toLowerCase(), secret.toLowerCase()];
  for (let at = 0; at + SHOWN_AT_MOST < whole.length; at++) {
    const piece = whole.slice(at, at + SHOWN_AT_MOST + 1);
    // The Tox ID, which begins a ticket in other digits, is no secret.
    assert.ok(!text.includes(piece), `${how}: ${shown}`);
  }
}

test('a message hides every long piece of a ticket, however it was damaged', () => {
  fc.assert(
    fc.property(damaged, ({ ticket, text }) => {
      assertHides(withoutSecrets(`--ticket-file ${JSON.stringify(text)}: no such file`), ticket, text);
    }),
    { numRuns: 2000 },
  );
});

/** Where a file or folder cannot be, so that no command creates one. */
const notAFolder = temp.file('file');
writeFileSync(notAFolder, '');

/** Every option with a value, of every command, and every command alone. */
async function calls(): Promise<string[][]> {
  const found: string[][] = [];
  for (const name of grammar.commandNames) {
    const { options } = await loadCommand(name);
    found.push([name]);
    for (const { long, required } of options)
      if (typeof long === 'string' && required) found.push([name, long]);
  }
  return found;
}

/** Whether the last word is followed by the name of something that may be created. */
const namesFile = (words: readonly string[]): boolean =>
  /file|state|export|import|log|nodes|config/.test(words.at(-1) ?? '');

/** What a command prints. Where it would start a tunnel, it fails. */
async function shownBy(words: readonly string[], text: string): Promise<string> {
  const bench = new CliBench(`${notAFolder}/state`);
  bench.onStart = async () => {
    throw new Error('nothing starts here');
  };
  await bench.run(...words, text);
  return bench.stdout.text + bench.stderr.text;
}

test('no command repeats a damaged ticket that stands at the place of the value of any option', async () => {
  const all = await calls();
  // Two for each option, because one may be damaged into something valid; the test above damages 2000 more.
  const samples = fc.sample(damaged, { numRuns: 2 * all.length, seed: 20261130 });
  for (const [at, words] of all.entries())
    for (const { ticket, text } of samples.slice(2 * at, 2 * at + 2))
      for (const value of [text, `${notAFolder}/${text}`]) {
        if (value === text && namesFile(words)) continue;
        assertHides(await shownBy(words, value), ticket, `${words.join(' ')} ${text}`);
      }
});

test('no command repeats the password of a proxy', async () => {
  const password = fc.stringMatching(/^[a-z0-9!/#?@%:.,]{8,20}$/);
  const all = (await calls()).filter((words) => !namesFile(words)).map((words) => words.join(' '));
  await fc.assert(
    fc.asyncProperty(
      password,
      fc.constantFrom(...all, 'connect --proxyy', 'listen --proxy'),
      async (secret, call) => {
        const shown = await shownBy(call.split(' '), `http://user:${secret}@host:80`);
        for (let at = 0; at + 6 <= secret.length; at++)
          assert.ok(!shown.includes(secret.slice(at, at + 6)), `${call} ${secret}: ${shown}`);
      },
    ),
    { numRuns: 200, seed: 20261130 },
  );
});

test('what stands before the host of a proxy is never taken for its host', async () => {
  for (const url of ['http://user:p@s3cret!w/ord@host:80', 'socks5://user:p@s3cret_!w?x@host']) {
    const shown = await shownBy(['listen', '--expose', '22', '--proxy'], url);
    assert.match(shown, /--proxy: its host is not valid; write .*%2F/);
    assert.ok(!shown.includes('s3cret'), shown);
  }
});
