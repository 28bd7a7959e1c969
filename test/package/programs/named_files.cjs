// The files of a bundle in CommonJS, which has no import.meta.url.
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { roundTrip } = require('./round_trip.mjs');

const worker = pathToFileURL(join(__dirname, 'parts', 'thread.cjs'));
const wasm = pathToFileURL(join(__dirname, 'parts', 'tox'));
roundTrip({ worker, wasm }).then((text) => process.stdout.write(`${text}\n`));
