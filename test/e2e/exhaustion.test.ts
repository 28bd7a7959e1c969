/** Processes with a low limit of open files, and peers and strangers that exhaust it. */
import assert from 'node:assert/strict';
import { connect as dialTcp, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { filePlan, processDescriptors } from '../../src/core/descriptors.js';
import { connect } from '../../src/index.js';
import { createIdentity, toxIdOf } from '../../src/state/identity.js';
import { BootstrapNode } from '../../src/tunnel/bootstrap_node.js';
import { CLI } from '../support/cli_process.js';
import { dialLoopback, ending, LOOPBACK_HOST } from '../support/loopback.js';
import { PrivateNetwork } from '../support/private_network.js';
import { readExactly } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { UdpEnd } from '../support/udp_end.js';

const OPEN_FILES = 200;
/**
 * What that limit leaves for one peer: `filePlan` gives all peers 104 descriptors, and one peer may hold
 * three quarters.
 */
const A_PEERS_PART = 78;
const WITH_FEW_FILES = ['sh', '-c', `ulimit -n ${OPEN_FILES}; exec "$@"`, 'sh', ...CLI];
const NO_DESCRIPTOR = /no free file descriptor \(EMFILE\)/;

const skip = process.platform === 'win32' ? 'Windows has no such limit' : false;

/** Returns whether a client of a TCP forward to an echo target was served. */
async function served(client: Socket): Promise<boolean> {
  client.write('x');
  const echo = readExactly(client, 1).then(
    () => true,
    () => false,
  );
  return await Promise.race([echo, ending(client).then(() => false)]);
}

describe('a listener with a low limit of open files', { skip }, () => {
  test('survives a peer that uses its whole share, still serves others, and serves that peer afterwards', {
    timeout: 120_000,
  }, async (t) => {
    const network = await PrivateNetwork.start();
    const [tcp, udp] = [await Target.echo(), await UdpEnd.start()];
    udp.answer = (datagram) => datagram;
    t.after(async () => {
      await network.stop();
      await tcp.stop();
      udp.stop();
    });
    const exposed = [tcp.port, udp.port].map(String);
    const { listener, ticket } = await network.withProgram(WITH_FEW_FILES).listen(exposed, '-v');
    const forward = `0:${LOOPBACK_HOST}:${tcp.port}`;
    const udpForward = ['--udp-forward', `0:${LOOPBACK_HOST}:${udp.port}`];
    const greedy = await network.connect(ticket, [forward], ...udpForward);
    const modest = await network.connect(ticket, [forward]);
    const [tcpPort, udpPort] = greedy.locals.map(({ port }) => port);
    const otherPort = modest.locals[0]?.port;
    assert.ok(tcpPort !== undefined && udpPort !== undefined && otherPort !== undefined);

    const udpClients = await Promise.all(Array.from({ length: 40 }, () => UdpEnd.start()));
    t.after(() => {
      for (const client of udpClients) client.stop();
    });
    for (const client of udpClients) {
      client.send('x', udpPort);
      await client.came(1);
    }
    const clients = Array.from({ length: 60 }, () => dialLoopback(tcpPort));
    const outcomes = await Promise.all(clients.map(served));
    assert.equal(udpClients.length + outcomes.filter(Boolean).length, A_PEERS_PART);

    const refused = await greedy.connector.event('refused');
    assert.equal(refused['reason'], 'limit');
    assert.match(String(refused['message']), NO_DESCRIPTOR);
    const udpRefused = greedy.connector.nextEvent('refused', ({ target }) =>
      String(target).endsWith(`:${udp.port}`),
    );
    udpClients.push(await UdpEnd.start());
    udpClients.at(-1)?.send('x', udpPort);
    assert.match(String((await udpRefused)['message']), NO_DESCRIPTOR);
    await listener.said(NO_DESCRIPTOR);
    assert.match(listener.stderr, /this process may have 200 files open; raise the limit with ulimit -n/);
    assert.ok((listener.stderr.match(/connections? w.* refused/g)?.length ?? 0) <= 2, listener.stderr);

    const other = dialLoopback(otherPort);
    assert.ok(await served(other), 'another peer was served');
    const open = clients[outcomes.indexOf(true)];
    assert.ok(open !== undefined && (await served(open)), 'the open connections stayed open');

    for (const client of [...clients, other]) client.destroy();
    await untilServed(() => dialLoopback(tcpPort));
    assert.equal(await listener.stop(), 0);
  });
});

test('a bootstrap node takes descriptors for its relay, a second Tox node takes its own, and both return them', {
  timeout: 60_000,
}, async (t) => {
  const budget = processDescriptors();
  const { free } = budget;
  const node = await BootstrapNode.start({
    bindAddress: LOOPBACK_HOST,
    lanDiscovery: false,
    port: 0,
    tcpPort: 0,
  });
  t.after(() => node.close());
  const taken = Math.min(4096, Math.floor(free * 0.75));
  if (free < Number.POSITIVE_INFINITY) assert.equal(budget.free, free - taken);
  const options = { remote: toxIdOf(createIdentity()), bindAddress: LOOPBACK_HOST, lanDiscovery: false };
  const tunnel = await connect(options);
  t.after(() => tunnel.close());
  const ofNode = filePlan(budget.limit).node;
  assert.ok(ofNode > 0);
  if (free < Number.POSITIVE_INFINITY)
    assert.equal(budget.free, free - taken - ofNode, 'a second Tox node takes its own files from the budget');
  await Promise.all([tunnel.close(), tunnel.close()]);
  await Promise.all([node.close(), node.close()]);
  assert.equal(budget.free, free);
  const controller = new AbortController();
  const aborted = connect({ ...options, signal: controller.signal });
  controller.abort();
  await assert.rejects(aborted, { code: 'ERR_ABORTED' });
  assert.equal(budget.free, free);
  await assert.rejects(BootstrapNode.start({ bindAddress: '192.0.2.1', lanDiscovery: false }));
  assert.equal(budget.free, free);
});

describe('a bootstrap node with a low limit of open files', { skip }, () => {
  test('survives strangers that hold every connection of its relay, and relays again once they are gone', {
    timeout: 120_000,
  }, async (t) => {
    const network = await PrivateNetwork.start({ program: WITH_FEW_FILES }, ['--port', '0']);
    const unlimited = network.withProgram(CLI);
    t.after(() => network.stop());
    const { tcpPort } = await network.node.event('node');
    const strangers = Array.from({ length: OPEN_FILES }, () => dialTcp(Number(tcpPort), LOOPBACK_HOST));
    let turnedAway = 0;
    const full = new Promise<void>((resolve) => {
      for (const stranger of strangers) {
        stranger.on('error', () => {});
        stranger.resume().once('close', () => {
          // Three quarters of 104 remain open.
          if (++turnedAway >= OPEN_FILES - 78) resolve();
        });
      }
    });
    await full;
    // UDP service continues.
    await unlimited.listen(['1']);
    const relayed = unlimited.start('listen', '--ephemeral', '--no-udp');
    await relayed.event('started');
    for (const stranger of strangers) stranger.destroy();
    await relayed.event('ready');
    assert.equal(await network.node.stop(), 0);
  });
});

/** Dials until one dial is served; the time limit of the test ends a futile wait. */
async function untilServed(dial: () => Socket): Promise<void> {
  for (;;) {
    const client = dial();
    const isServed = await served(client);
    client.destroy();
    if (isServed) return;
  }
}
