import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NameLookups } from '../../src/forward/exit/name_lookups.js';

/** Look-ups that end when the test says so. */
class SlowNames {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly lookups = new NameLookups(
    (name) =>
      new Promise((resolve) => {
        this.begun.push(name);
        this.#ends.set(name, () => resolve([name]));
      }),
  );

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    await new Promise(setImmediate);
  }
}

const forEver = new AbortController().signal;

describe('look-ups of names', () => {
  test('of the only peer run two at a time, in order', async () => {
    const names = new SlowNames();
    const { resolve } = names.lookups.join();
    const all = ['a', 'b', 'c'].map((name) => resolve(name, forEver));
    await names.end('');
    assert.deepEqual(names.begun, ['a', 'b']);
    for (const name of ['a', 'b', 'c']) await names.end(name);
    assert.deepEqual(await Promise.all(all), [['a'], ['b'], ['c']]);
  });

  test('of several peers take turns, one of each at a time: slow names of one delay no other', async () => {
    const names = new SlowNames();
    const [one, other] = [names.lookups.join(), names.lookups.join()];
    for (const name of ['a', 'b', 'c']) void one.resolve(name, forEver);
    const wanted = other.resolve('z', forEver);
    await names.end('');
    assert.deepEqual(names.begun, ['a', 'z']);
    await names.end('z');
    assert.deepEqual(await wanted, ['z']);
    assert.deepEqual(names.begun, ['a', 'z']);
    await names.end('a');
    assert.deepEqual(names.begun, ['a', 'z', 'b']);
  });

  test('that nobody waits for any more are rejected at once, and never begin', async () => {
    const names = new SlowNames();
    const [one] = [names.lookups.join(), names.lookups.join()];
    const abort = new AbortController();
    void one.resolve('a', forEver);
    const late = one.resolve('b', abort.signal);
    const last = one.resolve('c', forEver);
    abort.abort();
    await assert.rejects(late, { code: 'ERR_ABORTED' });
    await names.end('a');
    assert.deepEqual(names.begun, ['a', 'c']);
    await names.end('c');
    assert.deepEqual(await last, ['c']);
    await assert.rejects(one.resolve('d', abort.signal), { code: 'ERR_ABORTED' });
  });

  test('of a peer that leaves make room for the others', async () => {
    const names = new SlowNames();
    const [one, other] = [names.lookups.join(), names.lookups.join()];
    void one.resolve('a', forEver);
    for (const name of ['x', 'y']) void other.resolve(name, forEver);
    await names.end('');
    one.leave();
    await names.end('a');
    assert.deepEqual(names.begun, ['a', 'x', 'y']);
  });
});
