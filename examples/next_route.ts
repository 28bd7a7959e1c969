// A route of Next (app/api/orders/route.ts) that queries a database at home. Next needs
// serverExternalPackages: ['tox-wasm-tunnel', 'pg'] in its configuration.
//
//   npx tox-wasm-tunnel --expose 5432     at home: prints the ticket, for the environment of Next
import pg from 'pg';
import { connect } from 'tox-wasm-tunnel';
import { network } from './network.js';

// `next dev` loads this file anew after each change. The tunnel and the pool stay.
const kept = globalThis as { orders?: Promise<pg.Pool> };

async function open(): Promise<pg.Pool> {
  const tunnel = await connect({ ...network, remote: process.env['TICKET'] ?? '' });
  tunnel.on('error', (error) => {
    console.error(error.code, error.message);
    delete kept.orders; // the next request connects anew
  });
  const port = Number(process.env['PGPORT'] ?? 5432);
  const pool = new pg.Pool({ stream: () => tunnel.dial({ host: 'localhost', port }) });
  // Idle connections end when the machine at home is away for long. The pool replaces them.
  pool.on('error', () => {});
  return pool;
}

export async function GET(): Promise<Response> {
  kept.orders ??= open();
  const pool = await kept.orders;
  const { rows } = await pool.query('select 6 * 7 as total');
  return Response.json(rows);
}
