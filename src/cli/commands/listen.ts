import { type ExposeSpec, parseExposeSpec, printExposeSpec } from '../../forward/expose.js';
import { printHostPort } from '../../forward/spec.js';
import { formatBootstrapLine } from '../../node/bootstrap_list.js';
import { namedNodes, namedOrPublicNodes } from '../bootstrap_nodes.js';
import type { ExitCode } from '../exit_codes.js';
import {
  type NetworkFlags,
  networkOf,
  type OutputFlags,
  type PatienceFlags,
  patienceOf,
  type StateFlags,
  stateFolderOf,
  type UdpFlags,
  udpOf,
} from '../flags.js';
import { passphraseOf } from '../passphrase.js';
import { PROGRAM } from '../reporter.js';
import { type Context, serve } from '../serve.js';

export interface ListenFlags extends OutputFlags, StateFlags, NetworkFlags, UdpFlags, PatienceFlags {
  readonly expose?: readonly string[];
}

/** Waits for connectors and opens for them what may be reached. */
export async function listenCommand(context: Context, flags: ListenFlags): Promise<ExitCode> {
  const expose = (flags.expose ?? []).map(parseExposeSpec);
  const options = {
    ...networkOf(flags),
    ...udpOf(flags),
    ...patienceOf(flags),
    bootstrap: await namedOrPublicNodes(flags),
    logger: context.reporter.logger,
    expose,
  };
  const passphrase = await passphraseOf(flags, context.io);
  const { listen } = await context.io.loadApi();
  return serve(context, {
    role: 'listener',
    stateFolder: await stateFolderOf(flags, context.io),
    passphrase,
    onBusy: 'fail',
    start: (identity, signal) =>
      listen({ ...options, ...(identity === undefined ? {} : { identity }), signal }),
    up: async ({ toxId }) => {
      const command = await connectCommandLine(toxId, expose, flags);
      context.reporter.event({ event: 'started', toxId, expose: expose.map(printExposeSpec), command });
    },
  });
}

/** What to type on the other machine: whole, with the private nodes that were named here. */
async function connectCommandLine(
  toxId: string,
  expose: readonly ExposeSpec[],
  flags: ListenFlags,
): Promise<string> {
  const nodes = await namedNodes({ bootstrap: flags.bootstrap ?? [] });
  const words = [
    PROGRAM,
    toxId,
    exampleTarget(expose),
    ...nodes.flatMap((node) => ['--bootstrap', formatBootstrapLine(node)]),
  ];
  if (flags.nodes !== undefined) words.push(...flags.nodes.flatMap((file) => ['--nodes', file]));
  return words.join(' ');
}

/** The first target that is open, in its shortest form; PORT where the user has to choose. */
function exampleTarget([first]: readonly ExposeSpec[]): string {
  const port = first?.ports[0]?.from;
  if (first === undefined || port === undefined) return 'PORT';
  const { host } = first;
  if (host.kind === 'name')
    return host.name === 'localhost' ? String(port) : printHostPort({ host: host.name, port });
  return host.kind === 'address' ? printHostPort({ host: host.address.text, port }) : `HOST:${port}`;
}
