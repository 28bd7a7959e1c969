// Ann and Bob each run a dev server, and each sees the other's in a browser, over one tunnel.
//
//   Ann: npx tsx examples/dev_servers.ts 5173    prints the command line for Bob, which holds a secret
//   Bob: npx tsx examples/dev_servers.ts 3000 5173 TICKET
import { connect, listen } from 'tox-wasm-tunnel';
import { network } from './network.js';

const [mine = '', theirs, remote] = process.argv.slice(2);

if (theirs === undefined || remote === undefined) {
  // Bob reaches this one port, and may open one port here, on the loopback, with a number that the system picks.
  const listener = await listen({ ...network, expose: [mine], allowReverse: ['0'] });
  listener.on('reverse', ({ status, listen: local }) => {
    if (status === 'open') console.log(`Bob's server: http://${local}/`);
  });
  console.log(`For Bob: npx tsx examples/dev_servers.ts HIS_PORT ${mine} ${listener.ticket}`);
} else {
  const tunnel = await connect({ ...network, remote });
  const { local } = await tunnel.forward(`0:localhost:${theirs}`);
  await tunnel.reverse(`0:localhost:${mine}`).listening();
  console.log(`Ann's server: http://${local}/`);
}
