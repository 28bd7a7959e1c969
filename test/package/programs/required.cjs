// The same program from CommonJS.
const { connect, listen, createBootstrapNode } = require('tox-wasm-tunnel');

for (const start of [connect, listen, createBootstrapNode]) {
  if (typeof start !== 'function') throw new Error('the package exports something else when it is required');
}
import('./round_trip.mjs')
  .then(({ roundTrip }) => roundTrip())
  .then((text) => process.stdout.write(`${text}\n`));
