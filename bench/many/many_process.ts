// The server of bench/streams.ts in a process of its own: says `port N` and serves.
import { serveMany } from './many_streams.js';

process.stdout.write(`port ${await serveMany()}\n`);
