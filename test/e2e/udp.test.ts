/** --udp-forward through the real command: three processes, a private Tox network, and dig. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { runCli } from '../support/cli_process.js';
import { dnsAnswer } from '../support/dns_answer.js';
import { dialLoopback } from '../support/loopback.js';
import { patternDigest } from '../support/pattern.js';
import { PrivateNetwork, type Tunnel } from '../support/private_network.js';
import { DIG, skipWithout } from '../support/programs.js';
import { runProgram } from '../support/run_program.js';
import { readDigest, writePattern } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';
import { UdpEnd } from '../support/udp_end.js';

const BULK_BYTES = 8 * 1024 * 1024;

describe('--udp-forward', () => {
  const folder = new TempFolder();
  let dns: UdpEnd;
  let echo: UdpEnd;
  let closed: UdpEnd;
  let tcp: Target;
  let network: PrivateNetwork;
  let tunnel: Pick<Tunnel, 'connector' | 'locals'>;
  const ports = { tcp: 0, dns: 0, echo: 0, closed: 0 };

  before(async () => {
    dns = await UdpEnd.start();
    dns.answer = dnsAnswer;
    echo = await UdpEnd.start();
    echo.answer = (datagram) => datagram;
    closed = await UdpEnd.start();
    tcp = await Target.echo();
    network = await PrivateNetwork.start();
    const exposed = [dns, echo, tcp].map(({ port }) => String(port));
    const { ticket } = await network.listen(exposed, '--state', folder.file('state'));
    const forwards = [dns, echo, closed].flatMap(({ port }) => ['--udp-forward', `0:127.0.0.1:${port}`]);
    tunnel = await network.connect(ticket, [`0:127.0.0.1:${tcp.port}`], ...forwards);
    const [one, two, three, four] = tunnel.locals;
    assert.ok(one !== undefined && two !== undefined && three !== undefined && four !== undefined);
    Object.assign(ports, { tcp: one.port, dns: two.port, echo: three.port, closed: four.port });
  });

  after(async () => {
    await network.stop();
    await tcp.stop();
    for (const end of [dns, echo, closed]) end.stop();
    folder.remove();
  });

  test('dig gets its answer', { skip: skipWithout(DIG), timeout: 60_000 }, async () => {
    const asked = ['@127.0.0.1', '-p', String(ports.dns), '+short', '+tries=3', '+time=5'];
    const { exitCode, stdout, stderr } = await runProgram('dig', [...asked, 'some.test', 'A']);
    assert.equal(exitCode, 0, stderr);
    assert.equal(stdout.trim(), '192.0.2.7');
  });

  test('dig gets an answer of 4,096 bytes over UDP', {
    skip: skipWithout(DIG),
    timeout: 60_000,
  }, async () => {
    const asked = ['@127.0.0.1', '-p', String(ports.dns), '+bufsize=4096', '+ignore', '+tries=3', '+time=5'];
    const { exitCode, stdout, stderr } = await runProgram('dig', [...asked, '4040.test', 'TXT']);
    assert.equal(exitCode, 0, stderr);
    assert.equal((stdout.match(/x{10,}/g) ?? []).join('').length, 4040);
    assert.match(stdout, /MSG SIZE {2}rcvd: 4096/);
  });

  test('3,000 datagrams cross there and back, 32 at a time', { timeout: 120_000 }, async (t) => {
    const client = await UdpEnd.start();
    t.after(() => client.stop());
    const { sent, seen, ms } = await volley(client, 3_000, 1_200, 32);
    t.diagnostic(`${seen} of ${sent} came back in ${Math.round(ms)} ms`);
    assert.ok(seen >= 0.98 * sent, `${seen} of ${sent} came back`);
  });

  for (const bytes of [0, 1_321, 1_322, 9_000, 65_507]) {
    test(`a datagram of ${bytes} bytes comes back intact`, { timeout: 60_000 }, async (t) => {
      const client = await UdpEnd.start();
      t.after(() => client.stop());
      const datagram = Buffer.alloc(bytes, `${bytes} `);
      await backFrom(client, datagram);
      assert.deepEqual(client.received[0]?.datagram, datagram);
    });
  }

  test('datagrams and bulk TCP arrive side by side', { timeout: 120_000 }, async (t) => {
    const client = await UdpEnd.start();
    t.after(() => client.stop());
    const socket = dialLoopback(ports.tcp);
    const answer = readDigest(socket);
    const bulk = writePattern(socket, 'beside', BULK_BYTES).then(() => socket.end());
    const { sent, seen } = await volley(client, 400, 300, 4);
    await bulk;
    assert.deepEqual(await answer, { bytes: BULK_BYTES, sha256: patternDigest('beside', BULK_BYTES) });
    t.diagnostic(`${seen} of ${sent} came back`);
    assert.ok(seen >= 0.98 * sent, `${seen} of ${sent} came back`);
  });

  test('peers and status count the datagrams', { timeout: 60_000 }, async (t) => {
    const client = await UdpEnd.start();
    t.after(() => client.stop());
    await backFrom(client, Buffer.from('counted'));
    const { exitCode, stdout, stderr } = await runCli(['status', '--json', '--state', folder.file('state')]);
    assert.equal(exitCode, 0, stderr);
    const counts = [...stdout.matchAll(/"datagrams(In|Out)":(\d+)/g)].map(([, way, count]) => [
      way,
      Number(count),
    ]);
    const [[, came] = [], [, sent] = []] = counts;
    assert.ok(Number(came) > 0 && Number(sent) > 0, stdout);
    // For the process, and for the one peer.
    assert.deepEqual(counts, [
      ['In', came],
      ['Out', sent],
      ['In', came],
      ['Out', sent],
    ]);
  });

  test('a target that is not exposed gets nothing, and the connector reports why', {
    timeout: 60_000,
  }, async (t) => {
    const client = await UdpEnd.start();
    t.after(() => client.stop());
    client.send('x', ports.closed);
    const refused = await tunnel.connector.event('refused');
    assert.equal(refused['reason'], 'not-allowed');
    assert.equal(refused['target'], `127.0.0.1:${closed.port}`);
    assert.deepEqual(closed.received, []);
  });

  /**
   * Sends datagrams to the echo and back, `atOnce` in flight; one that takes longer than a second counts as
   * lost.
   */
  async function volley(client: UdpEnd, count: number, bytes: number, atOnce: number) {
    const fromMs = performance.now();
    let sent = 0;
    while (sent < count) {
      for (let burst = 0; burst < atOnce && sent < count; burst++) {
        const datagram = Buffer.alloc(bytes);
        datagram.writeUInt32BE(sent++);
        client.send(datagram, ports.echo);
      }
      await cameWithin(client, sent, 1_000);
    }
    const numbers = new Set(client.received.map(({ datagram }) => datagram.readUInt32BE()));
    assert.equal(numbers.size, client.received.length, 'no datagram comes twice');
    return { sent, seen: numbers.size, ms: performance.now() - fromMs };
  }

  /** Sends it until it has come back once, since any datagram may get lost. */
  async function backFrom(client: UdpEnd, datagram: Buffer): Promise<void> {
    const isBack = (): boolean => client.received.length > 0;
    for (let tries = 0; tries < 5 && !isBack(); tries++) {
      client.send(datagram, ports.echo);
      await cameWithin(client, 1, 2_000);
    }
  }

  /** Waits for this many datagrams, but not for longer than `limitMs`: any may get lost. */
  async function cameWithin(client: UdpEnd, count: number, limitMs: number): Promise<void> {
    await Promise.race([client.came(count), delay(limitMs, undefined, { ref: false })]);
  }
});
