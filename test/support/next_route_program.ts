/** Asks the example's route twice, as Next does for two requests. Then it ends the pool, and exits as a server does. */
import type pg from 'pg';
import { GET } from '../../examples/next_route.js';

for (let times = 0; times < 2; times++) process.stdout.write(`${await (await GET()).text()}\n`);
// The database would keep its connections until the listener gives this end up.
const { orders } = globalThis as { orders?: Promise<pg.Pool> };
await (await orders)?.end();
process.exit();
