// A file server without a listening port. Everybody in the team has a ticket of their own, which can be revoked.
//
//   npx tsx examples/team_files.ts ./public ann bob     serves the folder, and prints a ticket for each
//   npx tsx examples/team_files.ts TICKET notes.txt     fetches a file
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createServer, get } from 'node:http';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { connect, listen } from 'tox-wasm-tunnel';
import { network } from './network.js';

const [first = '', ...others] = process.argv.slice(2);

if (!first.startsWith('twt1')) {
  const listener = await listen({ ...network, offer: [{ host: 'files', port: 80, allowHalfOpen: true }] });
  const names = new WeakMap<object, string | undefined>();
  const server = createServer((request, response) => {
    // Only files right in the folder.
    const file = createReadStream(join(first, basename(decodeURIComponent(request.url ?? ''))));
    file.once('error', () => response.writeHead(404).end('no such file\n'));
    file.once('open', () => file.pipe(response));
    console.log(`${names.get(request.socket)} asks for ${request.url}`);
  });
  listener.on('stream', (stream) => {
    names.set(stream, stream.peer.name);
    server.emit('connection', stream);
  });
  for (const name of others) console.log(`${name}: ${listener.newTicket({ name, rules: ['files:80'] })}`);
} else {
  await using tunnel = await connect({ ...network, remote: first });
  const url = `http://files/${encodeURIComponent(others[0] ?? '')}`;
  const [response] = await once(get(url, { agent: tunnel.agent() }), 'response');
  if (response.statusCode !== 200) process.exitCode = 1;
  await pipeline(response, process.stdout, { end: false });
}
