/** Messages: mqtt, amqplib and nodemailer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Aedes } from 'aedes';
import { type ConfirmChannel, connect } from 'amqplib';
import mqtt from 'mqtt';
import { createTransport } from 'nodemailer';
import { SMTPServer } from 'smtp-server';
import { freePort, LOOPBACK_HOST } from '../support/loopback.js';
import { pattern } from '../support/pattern.js';
import { readDigest } from '../support/socket_bytes.js';
import type { Client } from './harness/client.js';
import { Queues, serveAmqp } from './servers/amqp.js';

const MIB = 1024 * 1024;

function broker(): Client {
  const target = { host: 'mqtt.lan', port: 1883 };
  return {
    name: 'mqtt',
    whenLost: 'answer',
    retriesForever: true,
    serve: async (far, hold) => {
      const aedes = await Aedes.createBroker({
        authorizePublish: (_client, { topic }, accept) => {
          if (topic === 'held') void hold.pass().then(() => accept(null));
          else accept(null);
        },
      });
      far.offer(target, (stream) => {
        aedes.handle(stream);
      });
      far.atEnd(() => new Promise<void>((resolve) => aedes.close(resolve)));
    },
    open: (tunnel) => {
      const client = new mqtt.MqttClient(() => tunnel.dial(target), {
        clientId: 'tester',
        reconnectPeriod: 200,
      });
      client.on('error', () => {});
      const unsent: number[] = [];
      return {
        work: async () => {
          await client.subscribeAsync('back', { qos: 1 });
          const sent = pattern('mqtt', 2 * MIB);
          const received = new Promise<Buffer>((resolve) => {
            client.once('message', (_topic, message) => resolve(message));
          });
          await client.publishAsync('back', sent, { qos: 1 });
          assert.ok((await received).equals(sent));
        },
        jobs: () =>
          Array.from({ length: 3 }, () => {
            const job = client.publishAsync('held', 'x', { qos: 1 });
            unsent.push(client.getLastMessageId());
            return job;
          }),
        close: async () => {
          // Otherwise it keeps the messages that were not sent, and they stay pending.
          for (const id of unsent) client.removeOutgoingMessage(id);
          await client.endAsync(true);
        },
      };
    },
  };
}

function rabbit(): Client {
  const target = { host: 'amqp.lan', port: 5672 };
  const queues = new Queues();
  return {
    name: 'amqplib',
    whenLost: 'error',
    serve: (far, hold) => far.offer(target, (stream) => serveAmqp(stream, queues, hold)),
    open: async (tunnel) => {
      // It takes no stream, but the address of a local forward.
      const { local } = await tunnel.forward(`127.0.0.1:0:${target.host}:${target.port}`);
      const connection = await connect(`amqp://${local}`, { recovery: { initialDelay: 100, maxDelay: 300 } });
      connection.on('error', () => {}); // it reconnects
      let channel: ConfirmChannel | undefined;
      const open = async (): Promise<ConfirmChannel> => {
        const opened = await connection.createConfirmChannel();
        opened.on('error', () => {}).on('close', () => (channel = undefined));
        channel = opened;
        return opened;
      };
      await open();
      return {
        work: async () => {
          const current = channel ?? (await open());
          const sent = pattern('amqplib', 2 * MIB);
          await current.assertQueue('work');
          const received = new Promise<Buffer>((resolve) => {
            void current.consume('work', (message) => resolve(message?.content ?? Buffer.alloc(0)), {
              noAck: true,
            });
          });
          current.sendToQueue('work', sent);
          await current.waitForConfirms();
          assert.ok((await received).equals(sent));
        },
        jobs: () =>
          Array.from(
            { length: 3 },
            () =>
              new Promise<void>((resolve, reject) => {
                channel?.sendToQueue('held', Buffer.from('x'), {}, (error: unknown) =>
                  error instanceof Error ? reject(error) : resolve(),
                );
              }),
          ),
        close: async () => await connection.close(),
      };
    },
  };
}

function mail(): Client {
  let port: number;
  const received: Promise<unknown>[] = [];
  return {
    name: 'nodemailer',
    // A pool sends the queued mail over a new connection.
    whenLost: 'answer and error',
    serve: async (far, hold) => {
      const server = new SMTPServer({
        authOptional: true,
        disabledCommands: ['STARTTLS'],
        logger: false,
        onData: (stream, session, done) => {
          const { envelope } = session;
          const isHeld = envelope.mailFrom !== false && envelope.mailFrom.address === 'held@example.org';
          const digest = readDigest(stream);
          received.push(digest);
          void digest.then(async () => {
            if (isHeld) await hold.pass();
            done();
          });
        },
      });
      server.on('error', () => {});
      port = await freePort();
      server.listen(port, LOOPBACK_HOST);
      far.dialled(port);
      far.atEnd(() => new Promise<void>((resolve) => server.close(resolve)));
    },
    open: (tunnel) => {
      const transport = createTransport({
        pool: true,
        maxConnections: 1,
        // Called for each connection of the pool.
        getSocket: (_options: unknown, done: (error: Error | null, socket?: object) => void) => {
          const connection = tunnel.dial({ port });
          once(connection, 'connect').then(() => done(null, { connection }), done);
        },
      });
      transport.on('error', () => {});
      const send = async (from: string, content: Buffer): Promise<unknown> =>
        await transport.sendMail({ from, to: 'you@example.org', text: 'hello', attachments: [{ content }] });
      return {
        work: async () => {
          received.length = 0;
          await send('me@example.org', pattern('nodemailer', 2 * MIB));
          const [digest] = (await Promise.all(received)) as { bytes: number }[];
          assert.ok(digest !== undefined && digest.bytes > 2 * MIB);
        },
        jobs: () => Array.from({ length: 3 }, async () => await send('held@example.org', Buffer.from('x'))),
        close: () => transport.close(),
      };
    },
  };
}

export const CLIENTS: readonly Client[] = [broker(), rabbit(), mail()];
