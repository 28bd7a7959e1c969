#!/usr/bin/env node
import { EXIT } from './exit_codes.js';
import { flushed, processIo } from './process_io.js';
import { run } from './run.js';

// What counts should the event loop run dry before the command has ended.
process.exitCode = EXIT.failure;
const io = processIo(async () => import('../index.js'));
const code = await run(process.argv.slice(2), io);
await flushed();
// A handle that somebody forgot shall not keep the command from ending.
process.exit(code);
