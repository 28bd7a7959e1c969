import { isTicket } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { publicKeyOf } from '../../state/identity.js';
import type { Context } from '../command.js';
import { namedOrPublicNodes } from '../options/bootstrap_nodes.js';
import {
  type NetworkFlags,
  networkOf,
  type PatienceFlags,
  patienceOf,
  type StateFlags,
  stateFolderOf,
  type UdpFlags,
  udpOf,
} from '../options/flags.js';
import { type LimitFlags, limitsOfFlags } from '../options/limit_flags.js';
import { passphraseOf } from '../options/passphrase.js';
import { networkProxyOf } from '../options/proxies.js';
import type { Remote } from '../options/remote.js';
import type { ConnectorHandle } from '../process/library.js';
import { PeerWait } from './peer_wait.js';
import type { Service } from './serve.js';

export interface ConnectorFlags extends StateFlags, NetworkFlags, UdpFlags, PatienceFlags, LimitFlags {}

/** The identity and the start of every command that connects to a listener. */
export async function connectorService(
  context: Context,
  { remote, name }: Pick<Remote, 'remote' | 'name'>,
  flags: ConnectorFlags,
): Promise<
  Pick<Service<ConnectorHandle>, 'role' | 'stateFolder' | 'passphrase' | 'onBusy' | 'start' | 'await'>
> {
  const { io, reporter } = context;
  const { publicKey } = isTicket(remote) ? remote.toxId : remote;
  const options = {
    ...networkOf(flags),
    ...udpOf(flags),
    ...(await networkProxyOf(flags, io)),
    ...patienceOf(flags),
    ...limitsOfFlags(flags),
    bootstrap: await namedOrPublicNodes(context, flags),
    logger: reporter.logger,
    remote,
  };
  const passphrase = await passphraseOf(flags, io);
  const { connect } = await io.loadLibrary();
  return {
    role: 'connector',
    stateFolder: await stateFolderOf(flags, io),
    passphrase,
    // A listener that is named by its Tox ID knows this machine by its key, and no other key gets in.
    onBusy: isTicket(remote) ? 'ephemeral' : 'fail',
    await: (connector, isOnce) => new PeerWait({ connector, name, isOnce, reporter, timers: io.timers }),
    start: async (identity, signal, _access, places) => {
      if (identity === undefined) return connect({ ...options, signal });
      refuseSelf(publicKey, identity.secretKey);
      return connect({ ...options, identity, signal, ...(places.length === 0 ? {} : { places }) });
    },
  };
}

function refuseSelf(remote: Uint8Array, secretKey: Uint8Array): void {
  if (Buffer.compare(publicKeyOf(secretKey), remote) !== 0) return;
  throw new TunnelError(
    'ERR_ADDRESS_INVALID',
    'this is the Tox ID of this machine; use the ticket that the listener prints on the other machine',
  );
}
