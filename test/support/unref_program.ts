/** A program that leaves a node, a forward and a bootstrap node open and unreferenced: it ends by itself. */
import { connect, createBootstrapNode, createNode } from '../../src/index.js';
import { LOOPBACK_HOST } from './loopback.js';

const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false } as const;

const first = await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0 });
const bootstrap = [`${LOOPBACK_HOST}:${first.udpPort}:${first.publicKey}`];
const node = await createNode({ ...LOCAL, bootstrap });
const listener = node.listen();
const tunnel = await connect({ ...LOCAL, bootstrap, remote: listener.ticket });
await tunnel.forward('0:localhost:22');
await tunnel.udpForward('0:localhost:53');
await tunnel.dynamic({ bind: '0' });
await tunnel.online();
first.unref();
node.unref().ref().unref();
tunnel.unref();
process.once('exit', (code) => process.stdout.write(`ends with ${code}, the tunnel ${tunnel.state}\n`));
