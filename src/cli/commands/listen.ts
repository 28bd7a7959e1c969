import { type IsName, printRule, type Rule, readRule } from '../../access/rule.js';
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
import { printable } from '../human.js';
import { type LimitFlags, limitsOfFlags } from '../limit_flags.js';
import { listenerMethods } from '../listener_methods.js';
import { PROGRAM } from '../reporter.js';
import { type Context, serve } from '../serve.js';

export interface ListenFlags
  extends OutputFlags,
    StateFlags,
    NetworkFlags,
    UdpFlags,
    PatienceFlags,
    LimitFlags {
  readonly expose?: readonly string[];
}

/** Waits for connectors and opens for them what may be reached. */
export async function listenCommand(context: Context, flags: ListenFlags): Promise<ExitCode> {
  // Until peers and tickets have names, nothing before a colon is one.
  const isName: IsName = () => false;
  const expose: Rule[] = (flags.expose ?? []).map((text) => {
    const { rule, note } = readRule(text, isName);
    if (note !== undefined) context.reporter.people(printable(note));
    return rule;
  });
  const options = {
    ...networkOf(flags),
    ...udpOf(flags),
    ...patienceOf(flags),
    ...limitsOfFlags(flags),
    bootstrap: await namedOrPublicNodes(flags),
    logger: context.reporter.logger,
    expose,
  };
  const { listen } = await context.io.loadApi();
  return serve(context, {
    role: 'listener',
    stateFolder: await stateFolderOf(flags, context.io),
    onBusy: 'fail',
    start: (identity, signal) =>
      listen({ ...options, ...(identity === undefined ? {} : { identity }), signal }),
    control: (listener) => listenerMethods({ listener, isName, wallClock: () => context.io.wallClock() }),
    up: async ({ toxId }) => {
      const command = await connectCommandLine(toxId, expose, flags);
      context.reporter.event({
        event: 'started',
        toxId,
        expose: expose.map((rule) => printRule(rule, isName)),
        command,
      });
    },
  });
}

/** What to type on the other machine: whole, with the private nodes that were named here. */
async function connectCommandLine(
  toxId: string,
  expose: readonly Rule[],
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
function exampleTarget([first]: readonly Rule[]): string {
  const port = first?.ports[0]?.from;
  if (first === undefined || port === undefined) return 'PORT';
  const { host } = first;
  if (host.kind === 'name')
    return host.name === 'localhost' ? String(port) : printHostPort({ host: host.name, port });
  return host.kind === 'address' ? printHostPort({ host: host.address.text, port }) : `HOST:${port}`;
}
