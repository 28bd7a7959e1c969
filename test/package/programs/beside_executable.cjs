// The program of a single executable application: the worker and the wasm lie next to the executable.
const { dirname, join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { roundTrip } = require('./round_trip.mjs');

const beside = (name) => pathToFileURL(join(dirname(process.execPath), name));
roundTrip({ worker: beside('thread.mjs'), wasm: beside('tox.wasm') }).then(
  (text) => process.stdout.write(`${text}\n`),
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  },
);
