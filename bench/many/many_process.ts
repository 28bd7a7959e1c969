// Runs the server of bench/streams.ts in a separate process: prints `port N` and serves.
import { serveMany } from './many_streams.js';

process.stdout.write(`port ${await serveMany()}\n`);
