// A web server without a listening port: only ticket holders can connect to it.
//
//   npx tsx examples/http_server.ts                 serves, and prints a ticket
//   npx tsx examples/http_server.ts TICKET /hello   requests a page
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { text } from 'node:stream/consumers';
import { connect, listen } from 'tox-wasm-tunnel';
import { network } from './network.js';

const [ticket, path = '/'] = process.argv.slice(2);

if (ticket === undefined) {
  const server = createServer((request, response) => response.end(`You asked for ${request.url}.\n`));
  // Connectors ask for the server by this name. Half-open, as node:http expects of its sockets.
  const listener = await listen({ ...network, offer: [{ host: 'web', port: 80, allowHalfOpen: true }] });
  listener.on('stream', (stream) => server.emit('connection', stream));
  console.log(listener.ticket);
} else {
  await using tunnel = await connect({ ...network, remote: ticket });
  const [response] = await once(get(`http://web${path}`, { agent: tunnel.agent() }), 'response');
  process.stdout.write(await text(response));
}
