// A tunnel by an installed package: `pack_tunnel.ts PROGRAM…` runs node, listener and connector by
// those words, brings one page through, and says so in one line. For pack_smoke.sh.
import { createServer, get } from 'node:http';
import { listenOnLoopback } from './loopback.js';
import { PrivateNetwork } from './private_network.js';
import { readToEnd } from './socket_bytes.js';

const PAGE = 'a page through the installed package';
const program = process.argv.slice(2);
const server = createServer((_request, response) => response.end(PAGE));
const port = await listenOnLoopback(server);
const network = await PrivateNetwork.start({ program });
try {
  const { locals } = await network.tunnel([port]);
  const page = await new Promise<string>((resolve, reject) => {
    get({ host: '127.0.0.1', port: locals[0]?.port, agent: false }, (response) => {
      readToEnd(response).then((bytes) => resolve(bytes.toString()), reject);
    }).on('error', reject);
  });
  if (page !== PAGE) throw new Error(`the page came back as "${page}"`);
  process.stdout.write(`tunnel: ${Buffer.byteLength(page)} bytes came through\n`);
} finally {
  await network.stop();
  server.close();
}
