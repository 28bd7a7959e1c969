import { type AccessState, parseAccessState } from '../../access/access_state.js';
import type { AllowedPeer } from '../../access/peer_key.js';
import { parseAllowedPeer, parsePeerKey } from '../../access/peer_key.js';
import { TunnelError } from '../../core/errors.js';
import { formatBootstrapLine } from '../../network/bootstrap_list.js';
import { printHostPort } from '../../rules/endpoint.js';
import { type IsName, printRule, type Rule, readRule } from '../../rules/expose.js';
import { parseReverseRule, printReverseRule, type ReverseRule } from '../../rules/reverse_rule.js';
import { namedNodes, namedOrPublicNodes } from '../options/bootstrap_nodes.js';
import {
  exposedBy,
  type MetricsFlags,
  type NetworkFlags,
  networkOf,
  type OutputFlags,
  type PatienceFlags,
  patienceOf,
  type StateFlags,
  stateFolderOf,
  type UdpFlags,
  udpOf,
} from '../options/flags.js';
import { type LimitFlags, limitsOfFlags } from '../options/limit_flags.js';
import { networkProxyOf } from '../options/network_proxy.js';
import { passphraseOf } from '../options/passphrase.js';
import { printable } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import type { ExitCode } from '../process/exit_codes.js';
import { listenerMethods } from '../service/listener_methods.js';
import { type Context, serve } from '../service/serve.js';
import { statusMethod } from '../service/status_method.js';
import { ticketMethods } from '../service/ticket_methods.js';

export interface ListenFlags
  extends OutputFlags,
    StateFlags,
    NetworkFlags,
    UdpFlags,
    PatienceFlags,
    MetricsFlags,
    LimitFlags {
  readonly expose?: readonly string[];
  readonly allowReverse?: readonly string[];
  readonly allowPeer?: readonly string[];
  readonly denyPeer?: readonly string[];
  readonly qr?: boolean;
}

/** Waits for connectors and opens for them what may be reached. */
export async function listenCommand(context: Context, flags: ListenFlags): Promise<ExitCode> {
  context.reporter.logEvents();
  const exposed = exposedBy(flags.expose);
  const expose = exposed ?? [];
  const isBare = exposed === undefined && flags.allowReverse === undefined;
  const allowPeers = (flags.allowPeer ?? []).map(parseAllowedPeer);
  const denyPeers = (flags.denyPeer ?? []).map(parsePeerKey);
  // What can be told without knowing the names of tickets is told before anything is touched.
  readRules(context, expose, allowPeers, undefined);
  const reverse = flags.allowReverse ?? [];
  readReverse(reverse, allowPeers, undefined);
  const options = {
    ...networkOf(flags),
    ...udpOf(flags),
    ...(await networkProxyOf(flags, context.io)),
    ...patienceOf(flags),
    ...limitsOfFlags(flags),
    bootstrap: await namedOrPublicNodes(context, flags),
    logger: context.reporter.logger,
    allowPeers,
    denyPeers,
  };
  const passphrase = await passphraseOf(flags, context.io);
  const { listen } = await context.io.loadApi();
  return serve(context, {
    role: 'listener',
    stateFolder: await stateFolderOf(flags, context.io),
    passphrase,
    onBusy: 'fail',
    start: (identity, signal, kept) => {
      const access = parseAccessState(kept) ?? { tickets: [], peers: [], denied: [] };
      return listen({
        ...options,
        ...(identity === undefined ? {} : { identity }),
        signal,
        access,
        expose: isBare ? 'loopback' : readRules(context, expose, allowPeers, access),
        allowReverse: readReverse(reverse, allowPeers, access),
      });
    },
    metrics: flags.metrics,
    access: ({ access }) => access.state,
    control: (listener, saved) => ({
      ...listenerMethods({
        listener,
        isName: (name) => listener.access.isName(name),
        wallClock: () => context.io.wallClock(),
      }),
      ...ticketMethods(listener, saved),
      ...statusMethod({ role: 'listener', handle: listener, forwards: () => [], io: context.io }),
    }),
    up: async ({ toxId, ticket, rules, reverseRules }) => {
      const command = await connectCommandLine(ticket, exampleOf(rules.list(), reverseRules.list()), flags);
      context.reporter.event({
        event: 'started',
        toxId,
        ticket,
        expose: rules.list().map((rule) => printRule(rule)),
        isDefault: rules.isDefault,
        allowReverse: reverseRules.list().map(printReverseRule),
        command,
      });
      if (flags.qr === true)
        for (const line of (await import('../output/qr.js')).qrCode(ticket)) context.reporter.people(line);
    },
  });
}

/**
 * Reads `--expose`, whose rules may name the peers and tickets that there are.
 *
 * @param kept undefined while that is not known: then names pass, and nothing is said about readings
 */
function readRules(
  { reporter }: Context,
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  kept: AccessState | undefined,
): Rule[] {
  return readNamed(texts, allowPeers, kept, (text, isName) => {
    const { rule, note } = readRule(text, isName);
    if (note !== undefined && kept !== undefined) reporter.people(printable(note));
    return rule;
  });
}

/** Reads `--allow-reverse`, in the same way. */
function readReverse(
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  kept: AccessState | undefined,
): ReverseRule[] {
  return readNamed(texts, allowPeers, kept, parseReverseRule);
}

function readNamed<Read>(
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  kept: AccessState | undefined,
  read: (text: string, isName: IsName) => Read,
): Read[] {
  const names = new Set(
    [...allowPeers, ...(kept?.peers ?? []), ...(kept?.tickets ?? [])].map(({ name }) => name),
  );
  const rules: Read[] = [];
  for (const text of texts) {
    try {
      rules.push(read(text, (name) => names.has(name)));
    } catch (error) {
      const isName = TunnelError.is(error) && error.code === 'ERR_USAGE';
      if (!isName || kept !== undefined) throw error;
    }
  }
  return rules;
}

/** What to type on the other machine: whole, with the private nodes that were named here. */
async function connectCommandLine(ticket: string, example: string, flags: ListenFlags): Promise<string> {
  const nodes = await namedNodes({ bootstrap: flags.bootstrap ?? [] });
  const words = [
    'npx',
    PROGRAM,
    ticket,
    example,
    ...nodes.flatMap((node) => ['--bootstrap', formatBootstrapLine(node)]),
  ];
  if (flags.nodes !== undefined) words.push(...flags.nodes.flatMap((file) => ['--nodes', file]));
  return words.join(' ');
}

/** The first thing that the default ticket opens, in its shortest form; PORT where the user has to choose. */
function exampleOf(rules: readonly Rule[], reverseRules: readonly ReverseRule[]): string {
  const first = rules.find(({ name }) => name === undefined);
  if (first === undefined) {
    const reverse = reverseRules.find(({ name }) => name === undefined);
    return reverse === undefined ? 'PORT' : `-R ${reverse.ports.from}:localhost:PORT`;
  }
  if ('path' in first) return `-L 8080:${first.path}`;
  const { host, ports } = first;
  const [{ from: port, to } = { from: 1, to: 0xffff }] = ports;
  if (port === 1 && to === 0xffff) return 'PORT';
  if (host.kind === 'name')
    return host.name === 'localhost' ? String(port) : printHostPort({ host: host.name, port });
  return host.kind === 'address' ? printHostPort({ host: host.address.text, port }) : `HOST:${port}`;
}
