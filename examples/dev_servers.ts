// Ann and Bob each run a dev server, and each sees the other's in a browser, over one tunnel.
//
//   Ann: npx tsx examples/dev_servers.ts 5173    prints the command line for Bob, which holds a secret
//   Bob: npx tsx examples/dev_servers.ts 3000 5173 TICKET
import {
  connect,
  listen,
  parseExposeSpec,
  parseLocalSpec,
  parseReverseRule,
  parseReverseSpec,
  parseTicket,
} from 'tox-wasm-tunnel';
import { network } from './network.js';

const [mine = '', theirs, ticket] = process.argv.slice(2);

if (theirs === undefined || ticket === undefined) {
  const listener = await listen({
    ...network,
    // Bob reaches this one port, and may open one port here, on the loopback, with a number that the system
    // picks.
    expose: [parseExposeSpec(mine)],
    allowReverse: [parseReverseRule('0')],
  });
  listener.on('reverse', ({ status, listen: local }) => {
    if (status === 'open') console.log(`Bob's server: http://${local}/`);
  });
  console.log(`For Bob: npx tsx examples/dev_servers.ts HIS_PORT ${mine} ${listener.ticket}`);
} else {
  const tunnel = await connect({ ...network, remote: parseTicket(ticket) });
  const { local } = await tunnel.forward(parseLocalSpec(`0:localhost:${theirs}`));
  tunnel.reverse(parseReverseSpec(`0:localhost:${mine}`));
  console.log(`Ann's server: http://${local}/`);
}
