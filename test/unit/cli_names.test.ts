import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { formatTicket, isTicket, type Ticket } from '../../src/access/ticket.js';
import { parseToxId, type ToxId } from '../../src/network/tox_id.js';
import { readIdentity } from '../../src/state/identity_file.js';
import { writeSealedNames } from '../support/cheap_state.js';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const KEY = ID.slice(0, 64);
const TICKET = formatTicket({ toxId: parseToxId(ID), secret: new Uint8Array(32).fill(7) });
const OTHER = formatTicket({ toxId: parseToxId(ID), secret: new Uint8Array(32).fill(8) });

let temp: TempFolder;
let bench: CliBench;
beforeEach(() => {
  temp = new TempFolder();
  bench = benchHere();
});
afterEach(() => temp.remove());

const benchHere = (): CliBench => new CliBench(temp.file('state'));

async function refuses(why: RegExp, ...args: string[]): Promise<void> {
  const refusing = benchHere();
  assert.equal(await refusing.run(...args), 2, refusing.stderr.text);
  assert.match(refusing.stderr.text, why);
  assert.deepEqual(refusing.calls, []);
}

/** The listener that `args` connect to. */
async function remoteOfRun(...args: string[]) {
  const connecting = benchHere();
  const { ended } = await connecting.start(/Forwarding|Looking/, ...args);
  connecting.signal();
  await ended;
  return { remote: connecting.calls.at(-1)?.options.remote, tunnel: connecting.tunnel };
}

/** The text of a parsed ticket. */
function ticketIn(remote: unknown): string | undefined {
  const read = remote as Ticket | ToxId | undefined; // the recorded call to the library
  return read !== undefined && isTicket(read) ? formatTicket(read) : undefined;
}

describe('names for tickets', () => {
  test('add saves a ticket, and connect, ping, doctor and the short form accept its name', async () => {
    assert.equal(await bench.run('add', 'home', TICKET.toUpperCase()), 0);
    assert.match(bench.stderr.text, /^home now refers to peer 56A1ADE4: tox-wasm-tunnel home PORT/);
    for (const args of [
      ['connect', 'home', '22'],
      ['HOME', '22'],
      ['home', '22', '--ephemeral'],
    ]) {
      const { remote, tunnel } = await remoteOfRun(...args);
      assert.equal(ticketIn(remote), TICKET);
      assert.equal(tunnel.forwards.length, 1);
    }
    assert.equal(ticketIn((await remoteOfRun('ping', 'home')).remote), TICKET);
  });

  test('a Tox ID may have a name, too', async () => {
    assert.equal(await bench.run('add', 'home', ID.toLowerCase()), 0);
    const { remote } = await remoteOfRun('home', '22');
    assert.deepEqual(remote, parseToxId(ID));
  });

  test('a name overrides the ticket in the environment, which is removed in any case', async () => {
    await bench.run('add', 'home', TICKET);
    const both = benchHere();
    both.env.set('TOX_WASM_TUNNEL_TICKET', OTHER);
    const { ended } = await both.start(/Forwarding/, 'connect', 'home', '-L', '0:localhost:22');
    both.signal();
    await ended;
    assert.equal(ticketIn(both.calls[0]?.options.remote), TICKET);
    assert.equal(both.env.size, 0);
  });

  test('the ticket comes from standard input, a file or the environment, as for connect', async () => {
    const file = temp.file('ticket');
    await writeFile(file, `${TICKET}\n`);
    bench.stdin = Readable.from([Buffer.from(TICKET)]);
    bench.env.set('TOX_WASM_TUNNEL_TICKET', TICKET);
    assert.equal(await bench.run('add', 'one', '-'), 0);
    assert.equal(await bench.run('add', 'two', '--ticket-file', file), 0);
    bench.env.set('TOX_WASM_TUNNEL_TICKET', TICKET);
    assert.equal(await bench.run('add', 'three'), 0);
    for (const name of ['one', 'two', 'three'])
      assert.equal(ticketIn((await remoteOfRun(name, '22')).remote), TICKET);
  });

  test('list shows names and public keys, never a ticket', async () => {
    await bench.run('add', 'home', TICKET);
    await bench.run('add', 'work', ID);
    const listing = benchHere();
    assert.equal(await listing.run('list'), 0);
    assert.equal(listing.stdout.text, `home\tticket\t${KEY}\nwork\tTox ID\t${KEY}\n`);
    const json = benchHere();
    assert.equal(await json.run('list', '--json'), 0);
    assert.deepEqual(json.stdout.events, [
      {
        event: 'names',
        names: [
          { name: 'home', kind: 'ticket', peer: KEY },
          { name: 'work', kind: 'toxId', peer: KEY },
        ],
      },
    ]);
    assert.ok(!(bench.stdout.text + bench.stderr.text + json.stdout.text).includes(TICKET.slice(20)));
  });

  test('remove deletes one name and keeps the others', async () => {
    await bench.run('add', 'home', TICKET);
    await bench.run('add', 'work', ID);
    assert.equal(await bench.run('remove', 'HOME'), 0);
    await refuses(/"home" is neither a ticket, nor a name/, 'home', '22');
    await refuses(/there is no name "home".*list/, 'remove', 'home');
    assert.deepEqual((await remoteOfRun('work', '22')).remote, parseToxId(ID));
  });

  test('add keeps an existing name, unless --replace is given', async () => {
    await bench.run('add', 'home', TICKET);
    assert.equal(await bench.run('add', 'home', TICKET), 0, 'adding the same ticket again');
    await refuses(/"home" already refers to another ticket; use --replace/, 'add', 'home', OTHER);
    assert.equal(ticketIn((await remoteOfRun('home', '22')).remote), TICKET);
    assert.equal(await bench.run('add', 'home', OTHER, '--replace'), 0);
    assert.equal(ticketIn((await remoteOfRun('home', '22')).remote), OTHER);
  });

  test('add rejects a mistyped ticket', async () => {
    await refuses(/mistyped/, 'add', 'home', TICKET.replace('0w3', '0w4'));
    assert.equal(await benchHere().run('list'), 0);
  });

  test('add rejects two tickets, one of them from the environment', async () => {
    bench.env.set('TOX_WASM_TUNNEL_TICKET', TICKET);
    assert.equal(await bench.run('add', 'home', 'work'), 2);
    assert.match(bench.stderr.text, /the ticket is given twice/);
  });

  test('a passphrase encrypts the names; connect decrypts them, with --ephemeral too', async () => {
    bench.env.set('TOX_WASM_TUNNEL_PASSPHRASE', 'opensesame');
    assert.equal(await bench.run('add', 'home', TICKET), 0);
    const kept = await readFile(join(temp.file('state'), 'names.json'), 'utf8');
    assert.doesNotMatch(kept, /home|twt1/);
    await refuses(/encrypted; give its passphrase/, 'home', '22');
    await refuses(/encrypted; give its passphrase/, 'list');
    await writeSealedNames(temp.file('state'), Buffer.from('opensesame'), new Map([['home', TICKET]]));
    for (const more of [[], ['--ephemeral']]) {
      const opening = benchHere();
      opening.env.set('TOX_WASM_TUNNEL_PASSPHRASE', 'opensesame');
      const { ended } = await opening.start(/Forwarding/, 'home', '22', ...more);
      opening.signal();
      await ended;
      const remote = opening.calls[0]?.options.remote;
      assert.equal(ticketIn(remote), TICKET);
    }
    const place = { folder: temp.file('state'), role: 'connector' } as const;
    await assert.rejects(readIdentity(place), 'the same passphrase seals the identity');
    assert.ok(await readIdentity({ ...place, passphrase: Buffer.from('opensesame') }));
  });

  test('doctor decrypts them too', async () => {
    const state = temp.file('state');
    await writeSealedNames(state, Buffer.from('opensesame'), new Map([['home', TICKET]]));
    await refuses(/encrypted/, 'doctor', 'home');
    const file = temp.file('passphrase');
    await writeFile(file, 'opensesame\n');
    const opening = new CliBench();
    const args = ['--state', state, '--passphrase-file', file];
    const { ended } = await opening.start(/Looking for a network/, 'doctor', 'home', ...args);
    opening.signal();
    await ended;
  });

  test('a damaged entry is reported by its name, and can be removed', async () => {
    await bench.run('add', 'home', TICKET);
    const file = join(temp.file('state'), 'names.json');
    await writeFile(file, (await readFile(file, 'utf8')).replace(TICKET, 'twt1precious'), { mode: 0o600 });
    await refuses(/names\.json: the entry "home" is damaged \(.*position 11.*add --replace/, 'home', '22');
    await refuses(/the entry "home" is damaged.*remove it: tox-wasm-tunnel remove home/, 'list');
    assert.equal(await bench.run('remove', 'home'), 0);
    assert.equal(await benchHere().run('list'), 0);
  });
});
