/** Shells: a client and a server of ssh2, with SFTP. The server listens on no port. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import ssh2, { type ClientChannel, type SFTPWrapper, type Client as SshClient } from 'ssh2';
import type { Connector } from '../../src/index.js';
import { pattern } from '../support/pattern.js';
import { readToEnd } from '../support/socket_bytes.js';
import type { Client } from './harness/client.js';
import { serveSftp } from './servers/sftp.js';

const MIB = 1024 * 1024;

function shell(): Client {
  const target = { host: 'ssh.lan', port: 22 };
  const login = { username: 'me', password: 'secret' };
  const files = new Map<string, Buffer>();
  return {
    name: 'ssh2',
    whenLost: 'error',
    serve: (far, hold) => {
      const { private: hostKey } = ssh2.utils.generateKeyPairSync('ed25519');
      const server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => {
        connection.on('error', () => {});
        connection.on('authentication', (attempt) => {
          const isKnown = attempt.method === 'password' && attempt.password === login.password;
          if (isKnown) attempt.accept();
          else attempt.reject(['password']);
        });
        connection.on('session', (accept) => {
          const session = accept();
          session.on('exec', (acceptExec, _reject, { command }) => {
            const channel = acceptExec();
            if (command === 'held') void hold.pass();
            else channel.pipe(channel).once('finish', () => channel.exit(0));
          });
          session.on('sftp', (acceptSftp) => serveSftp(acceptSftp(), files));
        });
      });
      far.offer(target, (stream) => {
        // Any Duplex that behaves like a socket will do; the types ask for Node's own class.
        server.injectSocket(stream as unknown as Parameters<typeof server.injectSocket>[0]);
      });
    },
    open: (tunnel) => {
      let connected = connection(tunnel);
      const current = async (): Promise<SshClient> => {
        // It does not reconnect by itself.
        if (connected.isLost()) connected = connection(tunnel);
        return await connected.ready;
      };
      return {
        work: async () => {
          const client = await current();
          const sent = pattern('ssh2', 2 * MIB);
          const channel = await promised<ClientChannel>((done) => client.exec('cat', done));
          channel.end(sent);
          assert.ok((await readToEnd(channel)).equals(sent));
          const sftp = await promised<SFTPWrapper>((done) => client.sftp(done));
          await promised<void>((done) => sftp.writeFile('/file', sent, (error) => done(error ?? undefined)));
          const back = await promised<Buffer>((done) => sftp.readFile('/file', done));
          assert.ok(back.equals(sent));
          sftp.end();
        },
        jobs: () =>
          Array.from({ length: 3 }, async () => {
            const client = await connected.ready;
            const channel = await promised<ClientChannel>((done) => client.exec('held', done));
            channel.resume();
            const [code] = (await once(channel, 'close')) as [number | null | undefined];
            if (typeof code !== 'number') throw new Error('the command was cut off');
          }),
        close: () => connected.end(),
      };
    },
  };

  function connection(tunnel: Connector) {
    const client = new ssh2.Client();
    let isLost = false;
    client.on('close', () => (isLost = true)).on('error', () => {});
    const ready = once(client, 'ready').then(() => client);
    client.connect({ sock: tunnel.dial(target), ...login });
    return { ready, isLost: () => isLost, end: () => void client.end() };
  }
}

/** Calls a function that takes a callback. */
async function promised<Result>(
  call: (done: (error: Error | undefined, result: Result) => void) => unknown,
): Promise<Result> {
  return await new Promise((resolve, reject) => {
    call((error, result) => (error ? reject(error) : resolve(result)));
  });
}

export const CLIENTS: readonly Client[] = [shell()];
