import type { ConnectorHandle } from '../api.js';

/** Resolves when the listener of a connector is online. */
export function peerOnline(connector: ConnectorHandle): Promise<true> {
  return new Promise((resolve) => {
    if (connector.peers().some(({ status }) => status === 'online')) resolve(true);
    connector.on('peer', ({ status }) => {
      if (status === 'online') resolve(true);
    });
  });
}
