/** Databases: pg, mysql2, ioredis and mongodb. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { AbstractConnector, Redis } from 'ioredis';
import { type Document, MongoClient } from 'mongodb';
import mysql from 'mysql2';
import pg from 'pg';
import type { Connector } from '../../src/index.js';
import { freePort, LOOPBACK_HOST } from '../support/loopback.js';
import { pattern } from '../support/pattern.js';
import type { Client } from './harness/client.js';
import { serveMongo } from './servers/op_msg.js';
import { serveRedis } from './servers/resp.js';

const MIB = 1024 * 1024;
/** How long a client may connect. The defaults of 10 s are too short on a busy machine. */
const CONNECT_MS = 60_000;

/** Postgres as WebAssembly, behind a name of the far end. */
function postgres(): Client {
  const target = { host: 'postgres.lan', port: 5432 };
  let holdDatabase = (): void => {};
  return {
    name: 'pg',
    // Those that waited for a connection of the pool get a new one.
    whenLost: 'answer and error',
    serve: async (far, hold) => {
      const database = await PGlite.create();
      const port = await freePort(); // the server of pglite does not tell which port it got
      const server = new PGLiteSocketServer({ db: database, port, maxConnections: 10 });
      await server.start();
      far.offer(target, (stream) => {
        stream.on('data', (chunk: Buffer) => void (chunk.includes('held') && hold.pass()));
        pipeline(stream, connect(port, LOOPBACK_HOST), stream, () => {});
      });
      // While this runs, the database answers nobody.
      holdDatabase = () => void database.runExclusive(async () => await hold.released);
      far.atEnd(async () => {
        await server.stop();
        await database.close();
      });
    },
    open: async (tunnel) => {
      const pool = new pg.Pool({ user: 'postgres', max: 1, stream: () => tunnel.dial(target) });
      // An idle connection that is lost is reported here.
      pool.on('error', () => {});
      await pool.query('select 1'); // a held database would not even accept a connection
      return {
        work: async () => {
          const sent = pattern('pg', 2 * MIB);
          const { rows } = await pool.query<{ back: Buffer }>('select $1::bytea as back', [sent]);
          assert.ok(rows[0]?.back.equals(sent));
          const counted = await pool.query<{ n: number }>('select n from generate_series(1, 20000) n');
          assert.equal(counted.rows[19_999]?.n, 20_000);
        },
        jobs: () => {
          holdDatabase();
          return Array.from({ length: 5 }, () => pool.query(`select 'held'`));
        },
        close: async () => await pool.end(),
      };
    },
  };
}

/** The packets of each command are numbered from 0. The server of mysql2 leaves that to the program. */
function nextCommand(connection: mysql.Connection): void {
  connection.sequenceId = 0;
}

/** The server of mysql2 itself, on a port that the far end dials. */
function maria(): Client {
  const columns = [
    {
      catalog: 'def',
      schema: '',
      table: '',
      orgTable: '',
      name: 'back',
      orgName: '',
      characterSet: 33,
      columnLength: 1 << 24,
      columnType: 253, // VAR_STRING
      flags: 0,
      decimals: 0,
    },
  ];
  let port: number;
  return {
    name: 'mysql2',
    whenLost: 'answer and error',
    serve: async (far, hold) => {
      let connections = 0;
      const server = mysql.createServer((connection) => {
        connection.serverHandshake({
          protocolVersion: 10,
          serverVersion: '8.0.0',
          connectionId: ++connections,
          statusFlags: 2,
          characterSet: 33,
          capabilityFlags: 0x00ff_f7df, // without TLS and compression
          authCallback: (_who: unknown, accept: (error: null) => void) => {
            accept(null);
            nextCommand(connection);
          },
        });
        connection.on('error', () => {});
        connection.on('query', (query: string) => {
          const answer = async (): Promise<void> => {
            if (query.includes('held')) await hold.pass();
            connection.writeTextResult([{ back: /'(.*)'/.exec(query)?.[1] }], columns);
            nextCommand(connection);
          };
          void answer();
        });
      });
      port = await freePort();
      server.listen(port);
      far.dialled(port);
      far.atEnd(() => new Promise((resolve) => server.close(resolve)));
    },
    open: (tunnel) => {
      const pool = mysql
        .createPool({
          user: 'me',
          connectionLimit: 2,
          connectTimeout: CONNECT_MS,
          stream: () => tunnel.dial({ port }),
        })
        .promise();
      return {
        work: async () => {
          const sent = pattern('mysql2', MIB).toString('hex');
          const answers = await Promise.all(
            Array.from({ length: 3 }, async () => await pool.query(`select '${sent}' as back`)),
          );
          for (const [rows] of answers) assert.deepEqual(rows, [{ back: sent }]);
        },
        jobs: () => Array.from({ length: 5 }, () => pool.query(`select 'held' as back`)),
        close: async () => await pool.end(),
      };
    },
  };
}

function redis(): Client {
  const target = { host: 'redis.lan', port: 6379 };
  const values = new Map<string, Buffer>();

  /** How ioredis takes a stream: a connector of one's own. */
  function connectorTo(tunnel: Connector) {
    return class extends AbstractConnector {
      constructor() {
        super(2000); // how long a connection may take to end, in milliseconds
      }

      override async connect(): Promise<AbstractConnector['stream']> {
        this.connecting = true;
        // Any Duplex that behaves like a socket will do; the types ask for Node's own classes.
        this.stream = tunnel.dial(target) as unknown as AbstractConnector['stream'];
        return this.stream;
      }
    };
  }

  return {
    name: 'ioredis',
    whenLost: 'answer',
    serve: (far, hold) => far.offer(target, (stream) => serveRedis(stream, values, hold)),
    open: (tunnel) => {
      const client = new Redis({
        Connector: connectorTo(tunnel),
        maxRetriesPerRequest: 5,
        connectTimeout: CONNECT_MS,
      });
      client.on('error', () => {});
      return {
        work: async () => {
          const sent = pattern('ioredis', 3 * MIB);
          await client.set('big', sent);
          assert.ok((await client.getBuffer('big'))?.equals(sent));
          const many = client.pipeline();
          for (let index = 0; index < 500; index++) many.echo(`word ${index}`);
          const answers = await many.exec();
          assert.deepEqual(answers?.at(499), [null, 'word 499']);
        },
        jobs: () => [client.blpop('list', 0), client.echo('queued'), client.get('big')],
        close: async () => {
          if (client.status === 'ready') await client.quit();
          else client.disconnect();
        },
      };
    },
  };
}

function mongo(): Client {
  const target = { host: 'mongo.lan', port: 27_017 };
  const stored = new Map<string, Document>();
  return {
    name: 'mongodb',
    whenLost: 'answer',
    retriesForever: true,
    serve: (far, hold) => far.offer(target, (stream) => serveMongo(stream, stored, hold)),
    open: async (tunnel) => {
      // The driver takes no stream, but a SOCKS proxy, which hands names to the far end.
      const { local } = await tunnel.dynamic({ bind: '127.0.0.1:0' });
      const [proxyHost = '', proxyPort] = local.split(':');
      const client = new MongoClient(`mongodb://${target.host}:${target.port}`, {
        proxyHost,
        proxyPort: Number(proxyPort),
        maxPoolSize: 1,
      });
      const things = client
        .db('test')
        .collection<{ _id: number | string; data?: Buffer; held?: boolean }>('things');
      let documents = 0;
      return {
        work: async () => {
          const sent = Array.from({ length: 3 }, () => ({ _id: ++documents, data: pattern('mongodb', MIB) }));
          await things.insertMany(sent);
          const found = await things.findOne({ _id: documents }, { promoteBuffers: true });
          assert.ok(found?.data?.equals(pattern('mongodb', MIB)));
        },
        jobs: () => Array.from({ length: 5 }, () => things.findOne({ _id: 1, held: true })),
        close: async () => await client.close(),
      };
    },
  };
}

export const CLIENTS: readonly Client[] = [postgres(), maria(), redis(), mongo()];
