/** Several peers that want one port of the listener. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { unboundedShare } from '../../src/core/descriptors.js';
import { PORTS_BURST, PORTS_PER_SECOND, SIGN_OF_LIFE_MS } from '../../src/forward/reverse/port_holders.js';
import { parseReverseSpec } from '../../src/rules/forward_spec.js';
import { dialLoopback } from '../support/loopback.js';
import { FakeOwner } from '../support/port_owner.js';
import { bench, ReverseBench, started } from '../support/reverse_bench.js';
import { readExactly, readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';

/** A peer that has a port, and another peer at the same listener, which wants the same port. */
async function rivals(t: TestContext, grant = new FakeOwner('').grant) {
  const target = await Target.echo();
  t.after(() => target.stop());
  const spec = (port: number) => parseReverseSpec(`${port}:127.0.0.1:${target.port}`);
  const holder = started(t, new ReverseBench(['*'], 16, unboundedShare(), new FakeOwner('A'.repeat(64))));
  const held = holder.forwards.add(spec(0));
  const port = await holder.listening(held);
  const owner = new FakeOwner('B'.repeat(64), grant);
  const newcomer = started(t, new ReverseBench(['*'], 16, unboundedShare(), owner, holder));
  return { holder, held, newcomer, port, ask: () => newcomer.forwards.add(spec(port)) };
}

test('a peer that is away leaves its port to another with the same ticket, and gets another one when it is back', async (t) => {
  const { holder, held, newcomer, port, ask } = await rivals(t);
  holder.owner.isOnline = false;
  assert.equal(await newcomer.listening(ask()), port);
  while (held.remote !== undefined) await turn();
  assert.deepEqual(holder.told, [`open 127.0.0.1:${port}`, `closed 127.0.0.1:${port}`]);
  const client = dialLoopback(port);
  client.end('through');
  assert.equal(String(await readToEnd(client)), 'through');
  holder.owner.isOnline = true;
  // It asks for port 0 again, and gets another one.
  holder.timers.advance(1_000);
  assert.notEqual(await holder.listening(held), port);
});

test('a peer that shows no sign of life leaves its port, although it still counts as online', async (t) => {
  const { holder, newcomer, port, ask } = await rivals(t);
  holder.owner.answers = false;
  const wanted = ask();
  while (holder.timers.running === 0) await turn();
  holder.timers.advance(SIGN_OF_LIFE_MS);
  assert.equal(await newcomer.listening(wanted), port);
});

test('a peer that is connected keeps its port, and only the listener learns which peer has it', async (t) => {
  const { holder, held, newcomer, port, ask } = await rivals(t);
  ask();
  const { reason, text } = await newcomer.refused(1);
  assert.equal(reason, 'busy');
  assert.deepEqual([/A{8}/.test(text), newcomer.logged(/A{64}/)], [false, 1]);
  assert.match(
    text,
    new RegExp(
      `^127\\.0\\.0\\.1:${port} is held by another peer, which is connected; .* stop that connector`,
    ),
  );
  assert.equal(await holder.listening(held), port);
});

test('a peer that is away keeps a port with an open connection until the connection ends', async (t) => {
  const { holder, newcomer, port, ask } = await rivals(t);
  const client = dialLoopback(port);
  client.write('x');
  await readExactly(client, 1);
  holder.owner.isOnline = false;
  const wanted = ask();
  assert.match(
    (await newcomer.refused(1)).text,
    /held by another peer, which is away and has 1 open connection; the port will be free once they end/,
  );
  client.end();
  await readToEnd(client);
  while (wanted.remote === undefined) {
    holder.timers.advance(60_000);
    await turn();
  }
  assert.equal(await newcomer.listening(wanted), port);
});

test('a peer that is away keeps its port from holders of another ticket', async (t) => {
  const { holder, held, newcomer, port, ask } = await rivals(t, {
    name: 'other',
    kind: 'ticket',
    rules: undefined,
  });
  holder.owner.isOnline = false;
  ask();
  assert.match(
    (await newcomer.refused(1)).text,
    /held by another peer, which has another ticket and is away/,
  );
  assert.equal(await holder.listening(held), port);
});

test('holders of a ticket who open and close ports all day open a few a second, and others notice nothing', async (t) => {
  const grant = { name: 'ci', kind: 'ticket', rules: undefined } as const;
  const holder = started(t, new ReverseBench(['0'], 2, unboundedShare(), new FakeOwner('A', grant)));
  const beside = (owner: FakeOwner) =>
    started(t, new ReverseBench(['0'], 2, unboundedShare(), owner, holder));
  const ask = parseReverseSpec('0:localhost:1');
  const first = holder.forwards.add(ask);
  await holder.listening(first);
  // The rest of what may be opened at once.
  for (let opened = 1; opened < PORTS_BURST; opened++) assert.ok(holder.holders.takeTurn(grant));
  const late = beside(new FakeOwner('B', grant));
  const reverse = late.forwards.add(ask);
  const { reason, text } = await late.refused(1);
  assert.equal(reason, 'limit');
  assert.match(text, /ports were opened too fast with this ticket, so this one was not; ask again/);
  const other = beside(new FakeOwner('C'));
  await other.listening(other.forwards.add(ask));
  const lines = holder.told.length;
  holder.timers.advance(1_000 / PORTS_PER_SECOND);
  holder.timers.advance(1_000);
  await late.listening(reverse);
  assert.equal(holder.told.length, lines);
});

test('a connector that asks for a port twice is told that it has it', async (t) => {
  const b = bench(t, ['*']);
  const port = await b.listening(b.forwards.add(parseReverseSpec('0:localhost:80')));
  b.forwards.add(parseReverseSpec(`${port}:localhost:81`));
  assert.match((await b.refused(1)).text, /is open for this connector already; ask for another port/);
});
