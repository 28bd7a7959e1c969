// A user's program: a bootstrap node, a listener and a connector in one process, and a line through the
// tunnel. Prints the line, and exits by itself because everything is closed.
import { once } from 'node:events';
import { createServer, connect as dial } from 'node:net';
import {
  connect,
  createBootstrapNode,
  listen,
  parseBootstrapLine,
  parseExposeSpec,
  parseLocalSpec,
  parseTicket,
} from 'tox-wasm-tunnel';

const HOST = '127.0.0.1';

/** @param {{ worker?: URL, wasm?: URL }} [files] */
export async function roundTrip(files) {
  const local = { bindAddress: HOST, lanDiscovery: false, ...(files && { files }) };
  const toClose = [];
  try {
    const server = createServer((socket) => {
      // The other end may not have ended yet when the tunnel closes, which resets the stream.
      socket.on('error', () => {}).end('a line through the tunnel');
    }).listen(0, HOST);
    toClose.push(server);
    await once(server, 'listening');
    const first = await createBootstrapNode({ ...local, port: 0, tcpPort: 0 });
    toClose.push(first);
    const bootstrap = [parseBootstrapLine(`${HOST}:${first.udpPort}:${first.publicKey}`)];
    const expose = [parseExposeSpec(String(server.address().port))];
    const listener = await listen({ ...local, bootstrap, expose });
    toClose.push(listener);
    const tunnel = await connect({ ...local, bootstrap, remote: parseTicket(listener.ticket) });
    toClose.push(tunnel);
    const online = once(tunnel, 'peer');
    const forward = await tunnel.forward(parseLocalSpec(`0:${HOST}:${server.address().port}`));
    await online;
    const [host, port] = forward.local.split(':');
    let text = '';
    for await (const chunk of dial({ host, port: Number(port) })) text += chunk;
    return text;
  } finally {
    for (const opened of toClose.reverse()) await opened.close();
  }
}
