import { EventEmitter } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Connect, CreateServer } from '../../src/forward/tcp_socket.js';

/**
 * TCP inside one machine, in memory: the programs whose connections a tunnel carries. It behaves as
 * `node:net` does on loopback, without a kernel, so that everything happens in the order of the simulation.
 */
export class LocalTcp {
  readonly #servers = new Map<number, SimServer>();
  #nextPort = 50_000;

  /** For {@link Machine.createServer}. */
  readonly createServer: CreateServer = () => new SimServer(this) as unknown as Server; // what forwards use of it

  /** For {@link Machine.connect}. */
  readonly connect: Connect = (_address, port) => this.dial(port) as unknown as Socket; // what forwards use of it

  /** Serves a port. @param serve gets each connection */
  serve(port: number, serve: (socket: Duplex) => void): void {
    const server = new SimServer(this);
    server.on('connection', serve);
    this.#servers.set(port, server);
  }

  dial(port: number): SimSocket {
    const near = new SimSocket(this.#nextPort++, port);
    const server = this.#servers.get(port);
    process.nextTick(() => {
      if (near.destroyed) return;
      if (server === undefined || this.#servers.get(port) !== server) {
        near.destroy(
          Object.assign(new Error(`connect ECONNREFUSED 127.0.0.1:${port}`), { code: 'ECONNREFUSED' }),
        );
        return;
      }
      const far = new SimSocket(port, near.localPort);
      near.join(far);
      near.emit('connect');
      server.emit('connection', far);
    });
    return near;
  }

  /** @returns the port; undefined when it is taken */
  bind(server: SimServer, wanted: number): number | undefined {
    let port = wanted;
    while (port === 0 || (wanted === 0 && this.#servers.has(port))) port = this.#nextPort++;
    if (this.#servers.has(port)) return undefined;
    this.#servers.set(port, server);
    return port;
  }

  release(server: SimServer, port: number): void {
    if (this.#servers.get(port) === server) this.#servers.delete(port);
  }
}

/** What forwards use of a `net.Server`. */
class SimServer extends EventEmitter {
  readonly #tcp: LocalTcp;
  #port: number | undefined;

  constructor(tcp: LocalTcp) {
    super();
    this.#tcp = tcp;
  }

  listen({ port }: { readonly port: number }, listening: () => void): this {
    this.#port = this.#tcp.bind(this, port);
    process.nextTick(() => {
      if (this.#port !== undefined) listening();
      else this.emit('error', Object.assign(new Error(`listen EADDRINUSE ${port}`), { code: 'EADDRINUSE' }));
    });
    return this;
  }

  address(): AddressInfo | null {
    return this.#port === undefined ? null : { address: '127.0.0.1', family: 'IPv4', port: this.#port };
  }

  unref(): this {
    return this;
  }

  close(): this {
    if (this.#port !== undefined) this.#tcp.release(this, this.#port);
    this.#port = undefined;
    process.nextTick(() => this.emit('close'));
    return this;
  }
}

/** What forwards use of a `net.Socket`. */
export class SimSocket extends Duplex {
  readonly localPort: number;
  readonly remotePort: number;
  readonly remoteAddress = '127.0.0.1';
  bytesRead = 0;
  bytesWritten = 0;
  #other: SimSocket | undefined;
  /** Called when the other end has room again. */
  #onRoom: (() => void) | undefined;
  /** A write or an end that waits for the connection. */
  #onJoined: (() => void) | undefined;
  #isReset = false;

  constructor(localPort: number, remotePort: number) {
    super({ allowHalfOpen: true });
    this.localPort = localPort;
    this.remotePort = remotePort;
  }

  join(other: SimSocket): void {
    this.#other = other;
    other.#other = this;
    this.#onJoined?.();
    this.#onJoined = undefined;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  resetAndDestroy(): this {
    this.#isReset = true;
    return this.destroy();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.bytesWritten += chunk.length;
    const other = this.#other;
    if (other === undefined) {
      this.#onJoined = () => this._write(chunk, _encoding, done);
      this.bytesWritten -= chunk.length;
      return;
    }
    if (other.destroyed) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      return;
    }
    other.bytesRead += chunk.length;
    // A copy: as with a kernel, the writer may use its memory again.
    if (chunk.length === 0 || other.push(Buffer.from(chunk))) done();
    else other.#onRoom = done;
  }

  override _read(): void {
    const onRoom = this.#onRoom;
    this.#onRoom = undefined;
    onRoom?.();
  }

  override _final(done: (error?: Error) => void): void {
    const other = this.#other;
    if (other === undefined) {
      this.#onJoined = () => this._final(done);
      return;
    }
    if (!other.destroyed) other.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const other = this.#other;
    const isClean = !this.#isReset && error === null && this.writableFinished && this.readableEnded;
    if (other !== undefined && !other.destroyed && !isClean) {
      process.nextTick(() =>
        other.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })),
      );
    }
    this.#onRoom?.();
    this.#onRoom = undefined;
    done(error);
  }
}
