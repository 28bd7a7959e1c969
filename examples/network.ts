import type { CommonOptions } from 'tox-wasm-tunnel';

/**
 * The network on which the examples meet: the public Tox network, or for a trial a private one on this
 * machine, given as `BOOTSTRAP=HOST:PORT:KEY`, which `tox-wasm-tunnel node --bind 127.0.0.1` prints.
 */
const line = process.env['BOOTSTRAP'];

export const network: CommonOptions =
  line === undefined ? {} : { bootstrap: [line], bindAddress: '127.0.0.1', lanDiscovery: false };
