import { roundTrip } from './round_trip.mjs';

const worker = new URL('./parts/thread.mjs', import.meta.url);
const wasm = new URL('./parts/tox', import.meta.url);
process.stdout.write(`${await roundTrip({ worker, wasm })}\n`);
