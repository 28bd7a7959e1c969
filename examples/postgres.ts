// Queries a PostgreSQL server that has no open port, and opens no port here either.
//
//   npx tox-wasm-tunnel --expose 5432                              where the database is: prints a ticket
//   TICKET=… PGUSER=me npx tsx examples/postgres.ts 'select now()'  anywhere else
import pg from 'pg';
import { connect } from 'tox-wasm-tunnel';
import { network } from './network.js';

const [query = 'select version()'] = process.argv.slice(2);
const port = Number(process.env['PGPORT'] ?? 5432);

await using tunnel = await connect({ ...network, remote: process.env['TICKET'] ?? '' });

// Each connection of the pool is a stream of the tunnel. It waits until the listener is online.
const pool = new pg.Pool({ stream: () => tunnel.dial({ host: 'localhost', port }) });
const { rows } = await pool.query(query);
console.log(JSON.stringify(rows));
await pool.end();
