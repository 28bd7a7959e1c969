import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { formatTicket, parseTicket } from '../../src/access/ticket.js';
import { CliBench } from '../support/cli_bench.js';
import { readQr } from '../support/qr_reader.js';
import { TempFolder } from '../support/temp_folder.js';

let temp: TempFolder;
let bench: CliBench;
beforeEach(() => {
  temp = new TempFolder();
  bench = new CliBench();
  bench.stateFolder = temp.file('state');
});
afterEach(() => temp.remove());

const isDrawn = (line: string): boolean => /^[█▀▄ ]{41}$/.test(line);

function drawn(): string[] {
  const lines = bench.stderr.lines;
  const first = lines.findIndex(isDrawn);
  const last = lines.findLastIndex(isDrawn);
  assert.ok(first >= 0);
  return lines.slice(first, last + 1);
}

describe('--qr', () => {
  test('of `ticket` shows a code that reads as the ticket, in capitals', async () => {
    assert.equal(await bench.run('ticket', '--qr'), 0);
    const ticket = bench.stdout.text.trim();
    const read = readQr(drawn());
    assert.equal(read, ticket.toUpperCase());
    assert.equal(formatTicket(parseTicket(read)), ticket);
  });

  test('of `ticket new` and of --rotate shows that ticket', async () => {
    for (const args of [['new', '--name', 'ci'], ['--rotate']]) {
      bench = new CliBench();
      bench.stateFolder = temp.file('state');
      assert.equal(await bench.run('ticket', ...args, '--qr'), 0);
      assert.equal(readQr(drawn()), bench.stdout.text.trim().toUpperCase());
    }
  });

  test('of `listen` shows the ticket that is printed with it', async () => {
    const { ended } = await bench.start(/Ctrl-C/, 'listen', '--qr');
    await bench.until(() => bench.stderr.lines.filter(isDrawn).length === 21);
    // Stopped first: a running listener would keep a failing test from ending.
    bench.signal();
    assert.equal(await ended, 0);
    assert.equal(readQr(drawn()), bench.tunnel.ticket?.toUpperCase());
  });

  test('without the option nothing is drawn', async () => {
    assert.equal(await bench.run('ticket'), 0);
    assert.equal(bench.stderr.lines.find(isDrawn), undefined);
  });
});
