/** Strangers at the relay of a bootstrap node, who ask and do not read the answers. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import sodium from 'libsodium-wrappers';
import { wasmFile } from '../../src/bridge/package_files.js';
import type { Network } from '../../src/worker/net/network.js';
import { loadTox, readWasm } from '../../src/worker/tox/load.js';
import type { BootstrapNode, ToxModule } from '../../src/worker/tox/tox.js';

/** Packet kinds. Source: Tcp_Packet, toxcore/TCP_common.h. */
const ROUTING_REQUEST = 0;
const PING = 4;

/** Source: TCP_MAX_PRIORITY_BYTES in vendor/toxcore/patches/0024-bound-relay-answers.patch. */
const MAX_ANSWER_BYTES = 32 * 1024;

const UDP_PORT = 33_445;
const TCP_PORT = 3389;

let wasm: Uint8Array;
before(async () => {
  await sodium.ready;
  wasm = await readWasm(wasmFile());
});

/** A client of the relay that speaks its protocol, and reads only its handshake. */
class Client {
  isClosed = false;
  /** Bytes that the relay has sent. */
  taken: Buffer = Buffer.alloc(0);
  /** When false, the relay's sends find no room. */
  reads = true;
  readonly #keys = sodium.crypto_box_keypair();
  readonly #session = sodium.crypto_box_keypair();
  readonly #nonce: Buffer = Buffer.from(sodium.randombytes_buf(24));
  readonly #shared: Uint8Array;
  #key: Uint8Array | undefined;
  #unread: Buffer = Buffer.alloc(0);

  constructor(relayKey: Uint8Array) {
    this.#shared = sodium.crypto_box_beforenm(relayKey, this.#keys.privateKey);
    const nonce = sodium.randombytes_buf(24);
    const plain = Buffer.concat([this.#session.publicKey, this.#nonce]);
    const boxed = sodium.crypto_box_easy_afternm(plain, nonce, this.#shared);
    this.#unread = Buffer.concat([this.#keys.publicKey, nonce, boxed]);
  }

  get unreadBytes(): number {
    return this.#unread.length;
  }

  /** Call it when the relay has answered the handshake. */
  confirm(): void {
    const opened = sodium.crypto_box_open_easy_afternm(
      this.taken.subarray(24, 96),
      this.taken.subarray(0, 24),
      this.#shared,
    );
    this.#key = sodium.crypto_box_beforenm(opened.subarray(0, 32), this.#session.privateKey);
    this.ping();
  }

  ping(): void {
    this.send(Buffer.from([PING, 1, 2, 3, 4, 5, 6, 7, 8]));
  }

  askRoute(): void {
    this.send(Buffer.concat([Buffer.from([ROUTING_REQUEST]), sodium.randombytes_buf(32)]));
  }

  send(packet: Uint8Array): void {
    if (this.#key === undefined) throw new Error('the handshake comes first');
    const boxed = sodium.crypto_box_easy_afternm(packet, this.#nonce, this.#key);
    sodium.increment(this.#nonce.reverse());
    this.#nonce.reverse();
    const length = Buffer.alloc(2);
    length.writeUInt16BE(boxed.length);
    this.#unread = Buffer.concat([this.#unread, length, boxed]);
  }

  recv(into: Uint8Array): number {
    const length = Math.min(into.length, this.#unread.length);
    into.set(this.#unread.subarray(0, length));
    this.#unread = this.#unread.subarray(length);
    return length === 0 ? -1 : length;
  }

  take(bytes: Uint8Array): number {
    if (!this.reads) return -1;
    this.taken = Buffer.concat([this.taken, bytes]);
    return bytes.length;
  }
}

/** A bootstrap node in the wasm, whose clients are here. */
class RelayBench {
  readonly module: ToxModule;
  readonly node: BootstrapNode;
  readonly #clients = new Map<number, Client>();
  readonly #arriving: Client[] = [];
  #nowMs = 1000;
  #nextSocket = 1;

  constructor() {
    const host = {
      network: this.#network(),
      nowMs: () => this.#nowMs,
      wallMs: () => 1_700_000_000_000 + this.#nowMs,
      random: (into: Uint8Array) => void into.set(sodium.randombytes_buf(into.length)),
    };
    this.module = loadTox(wasm, host);
    this.node = this.module.createBootstrapNode(
      { ipv6: false, udpPort: UDP_PORT, tcpPort: TCP_PORT, lanDiscovery: false },
      () => {},
    );
  }

  /** A client whose connection is confirmed. */
  connect(): Client {
    const client = new Client(this.node.publicKey);
    this.#arriving.push(client);
    this.run();
    client.confirm();
    this.run();
    assert.equal(client.isClosed, false);
    return client;
  }

  run(): void {
    this.#nowMs += 50;
    this.node.iterate();
  }

  #network(): Network {
    const clients = this.#clients;
    return {
      socket: () => this.#nextSocket++,
      bind: () => 0,
      listen: () => 0,
      accept: () => {
        const client = this.#arriving.shift();
        if (client === undefined) return -1;
        clients.set(this.#nextSocket, client);
        return this.#nextSocket++;
      },
      connect: () => -1,
      recvBuffered: (socket) => Math.min(clients.get(socket)?.unreadBytes ?? 0, 65_000),
      recv: (socket, into) => clients.get(socket)?.recv(into) ?? -1,
      recvFrom: () => -1,
      send: (socket, bytes) => clients.get(socket)?.take(bytes) ?? -1,
      sendTo: (_socket, bytes) => bytes.length,
      close: (socket) => {
        const client = clients.get(socket);
        if (client !== undefined) client.isClosed = true;
        return 0;
      },
    };
  }
}

for (const [what, ask] of [
  ['routes', (client: Client) => client.askRoute()],
  ['pings', (client: Client) => client.ping()],
] as const) {
  test(`a relay closes the connection of a client that sends ${what} and reads no answer`, () => {
    const bench = new RelayBench();
    const client = bench.connect();
    client.reads = false;
    let asked = 0;
    for (; asked < 2000 && !client.isClosed; asked += 50) {
      for (let i = 0; i < 50; i++) ask(client);
      bench.run();
      bench.run();
    }
    assert.ok(client.isClosed, `after ${asked} requests`);
    // An answer takes 60 to 120 bytes.
    assert.ok(asked >= MAX_ANSWER_BYTES / 120 - 50, `closed after ${asked} requests`);
  });
}

test('a client that reads its answers late gets them all, in order, and stays connected', () => {
  const bench = new RelayBench();
  const client = bench.connect();
  client.taken = Buffer.alloc(0);
  for (let round = 0; round < 20; round++) {
    client.reads = false;
    for (let i = 0; i < 100; i++) client.ping();
    bench.run();
    client.reads = true;
    bench.run();
  }
  bench.run();
  assert.ok(!client.isClosed);
  assert.equal(client.taken.length, 20 * 100 * (2 + 16 + 9));
});
