/** Where peers were last reached: what is kept, for how long, and what a state folder shows of it. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../src/core/logger.js';
import type { PeerPlace } from '../../src/core/tox_network.js';
import {
  type KnownPlace,
  KnownPlaces,
  MAX_KNOWN_PLACES,
  parseKnownPlaces,
} from '../../src/network/known_places.js';
import { createIdentity } from '../../src/state/identity.js';
import { PlacesFile } from '../../src/state/places_file.js';
import { readPlace, writePlace } from '../../src/worker/tox/peer_places.js';
import { TempFolder } from '../support/temp_folder.js';

const DAY_MS = 24 * 3600 * 1000;
const NOW_MS = Date.parse('2026-01-31T12:00:00.000Z');

const keyOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

const placeOf = (fill: number): PeerPlace => ({
  publicKey: keyOf(fill),
  dhtKey: keyOf(0xd0),
  addresses: [
    { ip: '192.0.2.1', port: 33_445 },
    { ip: '2001:db8:0:0:0:0:0:1', port: 1 },
  ],
  relays: [{ ip: '198.51.100.7', port: 3389, key: keyOf(0xee) }],
});

function known(given: readonly KnownPlace[] = [], wallMs = NOW_MS) {
  let changes = 0;
  const clock = { wallMs };
  const places = new KnownPlaces({ given, wallMs: () => clock.wallMs, onChange: () => changes++ });
  return { places, clock, changes: () => changes };
}

test('a place survives the way through JSON and through the wasm', () => {
  const { places } = known();
  places.met(placeOf(1));
  const again = parseKnownPlaces(JSON.parse(JSON.stringify(places.list)));
  assert.deepEqual(again, places.list);
  const [guess] = known(again).places.guesses();
  assert.deepEqual(guess, placeOf(1));
  const bytes = writePlace(placeOf(1));
  assert.ok(bytes !== undefined);
  assert.deepEqual(readPlace(Uint8Array.from([...bytes, ...new Uint8Array(200)])), placeOf(1));
});

test('a place is worth a guess for a week', () => {
  const { places } = known();
  places.met(placeOf(1));
  assert.equal(known(places.list, NOW_MS + 6.9 * DAY_MS).places.list.length, 1);
  assert.equal(known(places.list, NOW_MS + 7.1 * DAY_MS).places.list.length, 0);
});

test('a peer that stays where it is counts as a change once an hour', () => {
  const { places, clock, changes } = known();
  places.met(placeOf(1));
  clock.wallMs += 60_000;
  places.met(placeOf(1));
  assert.equal(changes(), 1);
  clock.wallMs += 3600 * 1000;
  places.met(placeOf(1));
  assert.equal(changes(), 2);
  places.met({ ...placeOf(1), addresses: [] });
  assert.equal(changes(), 3);
});

const digits = (fill: number): string => Buffer.from(keyOf(fill)).toString('hex').toUpperCase();

test('when the list is full, a new peer replaces the one that was not seen for the longest time', () => {
  const { places, clock } = known();
  for (let i = 0; i < MAX_KNOWN_PLACES; i++) {
    places.met(placeOf(i));
    clock.wallMs += 1_000;
  }
  clock.wallMs += 3600 * 1000;
  places.met(placeOf(MAX_KNOWN_PLACES));
  assert.equal(places.list.length, MAX_KNOWN_PLACES);
  assert.equal(places.guesses(digits(0)).length, 0);
  assert.equal(places.guesses(digits(MAX_KNOWN_PLACES)).length, 1);
  places.forget(digits(MAX_KNOWN_PLACES));
  assert.equal(places.guesses(digits(MAX_KNOWN_PLACES)).length, 0);
});

test('more peers than the list holds, online together, do not push each other out', () => {
  const { places, clock, changes } = known();
  for (let minute = 0; minute < 50; minute++) {
    for (let i = 0; i < 2 * MAX_KNOWN_PLACES; i++) places.met(placeOf(i));
    clock.wallMs += 60_000;
  }
  assert.equal(changes(), MAX_KNOWN_PLACES);
  places.forget(digits(0));
  places.met(placeOf(MAX_KNOWN_PLACES));
  assert.equal(places.guesses(digits(MAX_KNOWN_PLACES)).length, 1);
});

test('a place that a wrong clock has dated to the future is dated anew', () => {
  const { places } = known();
  places.met(placeOf(1));
  const future = new Date(NOW_MS + DAY_MS).toISOString();
  const later = known(places.list.map((place) => ({ ...place, seen: future })));
  later.places.met(placeOf(1));
  assert.equal(later.places.list[0]?.seen, new Date(NOW_MS).toISOString());
});

test('anything but places is refused', () => {
  const { places } = known();
  places.met(placeOf(1));
  const [good] = places.list;
  for (const wrong of [
    undefined,
    {},
    [{}],
    [{ ...good, publicKey: 'AB' }],
    [{ ...good, seen: 'yesterday' }],
    [{ ...good, addresses: ['example.com:1'] }],
    [{ ...good, addresses: ['192.0.2.1:0'] }],
    [{ ...good, addresses: ['192.0.2.1:70000'] }],
    [{ ...good, relays: ['192.0.2.1:1'] }],
  ])
    assert.equal(parseKnownPlaces(wrong), undefined, JSON.stringify(wrong));
});

test('a file of places is private, shows nothing, and opens only with the identity of its role', async () => {
  const folder = new TempFolder();
  try {
    const identity = createIdentity();
    const { places } = known();
    places.met(placeOf(1));
    const options = { folder: folder.path, role: 'listener', logger: silentLogger } as const;
    const fresh = await PlacesFile.open(options, undefined);
    fresh.save(identity, []);
    fresh.save(identity, places.list);
    await fresh.settled();
    const file = join(folder.path, 'listener-places.json');
    const text = readFileSync(file, 'utf8');
    assert.equal(statSync(file).mode & 0o777, process.platform === 'win32' ? 0o666 : 0o600);
    for (const secret of ['192.0.2', '0101', Buffer.from('192.0.2.1').toString('base64').slice(0, 8)])
      assert.ok(!text.includes(secret));
    assert.deepEqual((await PlacesFile.open(options, identity)).saved, places.list);
    assert.deepEqual((await PlacesFile.open(options, createIdentity())).saved, []);
    writeFileSync(file, text.replace(/"text": "..../, '"text": "AAAA'), { mode: 0o600 });
    assert.deepEqual((await PlacesFile.open(options, identity)).saved, []);
    writeFileSync(join(folder.path, 'connector-places.json'), text, { mode: 0o600 });
    assert.deepEqual((await PlacesFile.open({ ...options, role: 'connector' }, identity)).saved, []);
  } finally {
    folder.remove();
  }
});

test('a file of places that cannot be read or written is logged, and nothing else', async () => {
  const folder = new TempFolder();
  const lines: string[] = [];
  const logger = { log: (_: string, line: string) => void lines.push(line) };
  folder.remove();
  const options = { folder: join(folder.path, 'gone'), role: 'listener', logger } as const;
  const places = await PlacesFile.open(options, createIdentity());
  assert.deepEqual(places.saved, []);
  places.save(createIdentity(), []);
  await places.settled();
  assert.equal(lines.length, 1);
});
