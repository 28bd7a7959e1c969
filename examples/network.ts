import { type CommonOptions, parseBootstrapLine, publicNodes } from 'tox-wasm-tunnel';

/**
 * The network that the examples meet on: the public one of Tox, or a private one on this machine, for trying:
 * `BOOTSTRAP=HOST:PORT:KEY`, as `tox-wasm-tunnel node --bind 127.0.0.1` prints it.
 */
const line = process.env['BOOTSTRAP'];

export const network: CommonOptions =
  line === undefined
    ? { bootstrap: publicNodes() }
    : { bootstrap: [parseBootstrapLine(line)], bindAddress: '127.0.0.1', lanDiscovery: false };
