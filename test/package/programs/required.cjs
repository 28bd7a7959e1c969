// The same program from CommonJS.
const { connect, listen, node } = require('tox-wasm-tunnel');

for (const start of [connect, listen, node]) {
  if (typeof start !== 'function') throw new Error('the package exports something else when it is required');
}
import('./round_trip.mjs')
  .then(({ roundTrip }) => roundTrip())
  .then((text) => process.stdout.write(`${text}\n`));
