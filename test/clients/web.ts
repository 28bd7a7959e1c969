/** HTTP and what is built on it: got, axios, undici, ws, socket.io, http2, grpc-js and express. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type RequestListener } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import axios from 'axios';
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { got } from 'got';
import { Server as SocketServer } from 'socket.io';
import { io } from 'socket.io-client';
import { Agent, request } from 'undici';
import { WebSocket, WebSocketServer } from 'ws';
import type { Connector } from '../../src/index.js';
import { pattern } from '../support/pattern.js';
import { readToEnd } from '../support/socket_bytes.js';
import { TEST_CERTIFICATE } from '../support/test_certificate.js';
import { grpcClient } from './grpc.js';
import type { Client } from './harness/client.js';
import type { FarEnd } from './harness/far_end.js';
import type { Hold } from './harness/hold.js';

const MIB = 1024 * 1024;
/** Longer than anything takes, also on a busy machine. */
const PATIENT_MS = 200_000;

/** Answers with the body of the request. `/held` is a job that is held. */
function echo(hold: Hold): RequestListener {
  return (incoming, response) => {
    const answer = async (): Promise<void> => {
      if (incoming.url === '/held') await hold.pass();
      incoming.pipe(response);
    };
    incoming.on('error', () => {});
    void answer();
  };
}

/** Serves HTTP to a name of the far end, without a port. */
function serveHttp(far: FarEnd, host: string, listener: RequestListener) {
  const server = createServer(listener);
  far.offer({ host, port: 80, allowHalfOpen: true }, (stream) => void server.emit('connection', stream));
  return server;
}

function gotClient(): Client {
  return {
    name: 'got',
    // It tries again what is safe to repeat: GET.
    whenLost: 'answer',
    serve: (far, hold) => void serveHttp(far, 'got.lan', echo(hold)),
    open: (tunnel) => {
      const agent = tunnel.agent({ keepAlive: true, maxSockets: 1 });
      const client = got.extend({ prefixUrl: 'http://got.lan', agent: { http: agent } });
      return {
        work: async () => {
          const sent = pattern('got', 2 * MIB);
          const body = await client.post('', { body: sent }).buffer();
          assert.ok(body.equals(sent));
        },
        jobs: () => Array.from({ length: 3 }, async () => await client.get('held')),
        close: () => agent.destroy(),
      };
    },
  };
}

function axiosClient(): Client {
  return {
    name: 'axios',
    // The requests that wait for the agent's socket get the next one.
    whenLost: 'answer and error',
    serve: (far, hold) => void serveHttp(far, 'axios.lan', echo(hold)),
    open: (tunnel) => {
      const httpAgent = tunnel.agent({ keepAlive: true, maxSockets: 1 });
      const client = axios.create({ baseURL: 'http://axios.lan', httpAgent, proxy: false });
      return {
        work: async () => {
          const sent = pattern('axios', 2 * MIB);
          const { data } = await client.post<Buffer>('/', sent, { responseType: 'arraybuffer' });
          assert.ok(data.equals(sent));
        },
        jobs: () => Array.from({ length: 3 }, async () => await client.get('/held')),
        close: () => httpAgent.destroy(),
      };
    },
  };
}

function undiciClient(): Client {
  return {
    name: 'undici',
    whenLost: 'answer and error',
    serve: (far, hold) => {
      const server = createHttpsServer(TEST_CERTIFICATE, echo(hold));
      far.offer({ host: 'secure.lan', port: 443, allowHalfOpen: true }, (stream) => {
        server.emit('connection', stream);
      });
    },
    open: (tunnel) => {
      const connect = tunnel.undiciConnect({ ca: TEST_CERTIFICATE.cert });
      const dispatcher = new Agent({ connections: 1, connect });
      return {
        work: async () => {
          const sent = pattern('undici', 2 * MIB);
          const { body } = await request('https://secure.lan/', { method: 'POST', body: sent, dispatcher });
          assert.ok(Buffer.from(await body.arrayBuffer()).equals(sent));
        },
        jobs: () =>
          Array.from({ length: 3 }, async () => {
            const { body } = await request('https://secure.lan/held', { dispatcher });
            await body.text();
          }),
        close: async () => await dispatcher.destroy(),
      };
    },
  };
}

function wsClient(): Client {
  return {
    name: 'ws',
    whenLost: 'error',
    serve: (far, hold) => {
      const sockets = new WebSocketServer({ server: serveHttp(far, 'ws.lan', echo(hold)) });
      sockets.on('connection', (socket) => {
        socket.on('error', () => {});
        socket.on('message', (message: Buffer, isBinary) => {
          if (isBinary) socket.send(message);
          else void hold.pass();
        });
      });
      far.atEnd(() => sockets.close());
    },
    open: async (tunnel) => {
      const connect = async (): Promise<WebSocket> => {
        const made = new WebSocket('ws://ws.lan/', { agent: tunnel.agent() });
        made.on('error', () => {});
        await once(made, 'open');
        return made;
      };
      let socket = await connect();
      return {
        work: async () => {
          // It does not reconnect by itself.
          if (socket.readyState !== WebSocket.OPEN) socket = await connect();
          for (const bytes of [0, 125, 70_000, 2 * MIB]) {
            const sent = pattern('ws', bytes);
            socket.send(sent);
            const [received] = (await once(socket, 'message')) as [Buffer];
            assert.ok(received.equals(sent));
          }
        },
        jobs: () => {
          socket.send('held');
          return Array.from({ length: 3 }, async () => {
            await Promise.race([
              once(socket, 'message'),
              once(socket, 'close').then(([code]) => {
                throw new Error(`closed with ${String(code)}`);
              }),
            ]);
          });
        },
        close: () => socket.close(),
      };
    },
  };
}

function socketIo(): Client {
  return {
    name: 'socket.io',
    whenLost: 'error',
    serve: (far, hold) => {
      const server = new SocketServer(serveHttp(far, 'io.lan', echo(hold)), {
        maxHttpBufferSize: 8 * MIB,
        // On a busy machine, 2 MiB take longer than the defaults of 10 s and 20 s.
        upgradeTimeout: PATIENT_MS,
        pingTimeout: PATIENT_MS,
      });
      server.on('connection', (socket) => {
        socket.on('echo', (bytes: Buffer, answer: (bytes: Buffer) => void) => answer(bytes));
        socket.on('held', (answer: (text: string) => void) => void hold.pass().then(() => answer('done')));
      });
      far.atEnd(async () => await server.close());
    },
    open: (tunnel) => {
      const agent = tunnel.agent();
      // In Node.js, `agent` is an agent of node:http, also for the WebSocket. The types say string.
      const options = { agent: agent as unknown as string, ackTimeout: PATIENT_MS };
      const socket = io('http://io.lan', options);
      return {
        work: async () => {
          const sent = pattern('socket.io', 2 * MIB);
          const back = (await socket.emitWithAck('echo', sent)) as Buffer;
          assert.ok(back.equals(sent));
        },
        jobs: () =>
          Array.from({ length: 3 }, async () => await (socket.emitWithAck('held') as Promise<unknown>)),
        close: () => {
          socket.close();
        },
      };
    },
  };
}

function http2Client(): Client {
  const target = { host: 'http2.lan', port: 80 };
  return {
    name: 'http2',
    whenLost: 'error',
    serve: (far, hold) => {
      const server = createHttp2Server({ maxSessionMemory: 100 });
      server.on('sessionError', () => {});
      server.on('stream', (stream: ServerHttp2Stream, headers) => {
        stream.on('error', () => {});
        const answer = async (): Promise<void> => {
          if (headers[':path'] === '/held') await hold.pass();
          if (stream.destroyed) return;
          stream.respond({ ':status': 200 });
          stream.pipe(stream);
        };
        void answer();
      });
      far.offer({ ...target, allowHalfOpen: true }, (stream) => void server.emit('connection', stream));
    },
    open: (tunnel) => {
      const connect = (): ClientHttp2Session => {
        const session = connectHttp2('http://http2.lan', {
          createConnection: () => tunnel.dial(target),
          maxSessionMemory: 100,
        });
        return session.on('error', () => {});
      };
      let session = connect();
      const post = async (path: string, body: Buffer): Promise<Buffer> => {
        const stream = session.request({ ':method': 'POST', ':path': path });
        stream.end(body);
        return await readToEnd(stream);
      };
      return {
        work: async () => {
          // It does not reconnect by itself.
          if (session.destroyed || session.closed) session = connect();
          const bodies = Array.from({ length: 20 }, (_, index) => pattern(`http2 ${index}`, 10_000 * index));
          const back = await Promise.all(bodies.map(async (body) => await post('/', body)));
          assert.ok(back.every((body, index) => body.equals(bodies[index] ?? Buffer.of(1))));
        },
        jobs: () => Array.from({ length: 3 }, async () => await post('/held', Buffer.from('x'))),
        close: () => session.close(),
      };
    },
  };
}

/** A server with Express that allows each peer a number of requests. */
function expressServer(): Client {
  const LIMIT = 5;
  return {
    name: 'express',
    whenLost: 'answer and error',
    serve: (far, hold) => {
      const app = express();
      app.get('/held', (incoming, response) => echo(hold)(incoming, response));
      app.use(rateLimit({ windowMs: 3_600_000, limit: LIMIT, ipv6Subnet: false, legacyHeaders: false }));
      app.get('/limited', (incoming, response) => void response.send(incoming.ip));
      serveHttp(far, 'express.lan', app);
    },
    open: (tunnel, far) => {
      const agent = tunnel.agent({ keepAlive: true, maxSockets: 1 });
      const ask = async (from: Connector, path: string): Promise<{ status: number; text: string }> => {
        const asked = get(`http://express.lan${path}`, { agent: from === tunnel ? agent : from.agent() });
        const [response] = (await once(asked, 'response')) as [IncomingMessage];
        return { status: response.statusCode ?? 0, text: String(await readToEnd(response)) };
      };
      let address: string | undefined;
      return {
        work: async () => {
          const answers: { status: number; text: string }[] = [];
          for (let times = 0; times <= LIMIT; times++) answers.push(await ask(tunnel, '/limited'));
          assert.equal(answers.at(-1)?.status, 429);
          if (address !== undefined) {
            // The peer is known again by the far end that came back.
            assert.equal(answers[0]?.status, 429);
            return;
          }
          address = answers[0]?.text;
          assert.equal(answers[LIMIT - 1]?.status, 200);
          const other = await far.connect();
          const { status, text } = await ask(other, '/limited');
          assert.equal(status, 200);
          assert.notEqual(text, address);
          await other.close();
        },
        jobs: () => Array.from({ length: 3 }, async () => await ask(tunnel, '/held')),
        close: () => agent.destroy(),
      };
    },
  };
}

export const CLIENTS: readonly Client[] = [
  gotClient(),
  axiosClient(),
  undiciClient(),
  wsClient(),
  socketIo(),
  http2Client(),
  grpcClient(),
  expressServer(),
];
