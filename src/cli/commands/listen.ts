import { type AccessState, parseAccessState } from '../../access/access_state.js';
import { type AllowedPeer, parseAllowedPeer, parsePeerKey } from '../../access/peer_key.js';
import { TunnelError } from '../../core/errors.js';
import { looksLikeTicket } from '../../core/secret_text.js';
import { formatBootstrapLine } from '../../network/bootstrap_list.js';
import { printHostPort } from '../../rules/endpoint.js';
import { type IsName, printRule, type Rule, readRule } from '../../rules/expose.js';
import { parseReverseRule, printReverseRule, type ReverseRule } from '../../rules/reverse_rule.js';
import { type Context, defineCommand } from '../command.js';
import { namedNodes, namedOrPublicNodes } from '../options/bootstrap_nodes.js';
import { listenOptions } from '../options/common_options.js';
import {
  exposedBy,
  type MetricsFlags,
  metricsOf,
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
import { readValue, readValues } from '../options/named_value.js';
import { passphraseOf } from '../options/passphrase.js';
import { networkProxyOf } from '../options/proxies.js';
import { shareCommand } from '../options/share_command.js';
import { printable } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import type { ExitCode } from '../process/exit_codes.js';
import type { ListenerHandle } from '../process/library.js';
import { listenerMethods } from '../service/listener_methods.js';
import { serve } from '../service/serve.js';
import { statusMethod } from '../service/status_method.js';
import { ticketMethods } from '../service/ticket_methods.js';

interface ListenFlags
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

export const listen = defineCommand<ListenFlags>({
  name: 'listen',
  group: 'Tunnels',
  summary: 'Wait for connectors and print a ticket for them',
  options: listenOptions(),
  hintForExtra: ([word = '']) => {
    const share = shareCommand(word);
    if (share !== undefined) return share;
    return looksLikeTicket(word) ? `to connect to a listener, run: ${PROGRAM} TICKET PORT` : undefined;
  },
  help: `
Examples:
  $ tox-wasm-tunnel listen                     open ALL ports of this machine's loopback
  $ tox-wasm-tunnel                            the same
  $ tox-wasm-tunnel --expose 22                open only SSH
  $ tox-wasm-tunnel listen --expose 22 --expose 8000-8010
  $ tox-wasm-tunnel listen --expose none                            (only what tickets open)
  $ tox-wasm-tunnel listen --expose db.lan:5432
  $ tox-wasm-tunnel listen --expose /run/app.sock                   (a UNIX socket)
  $ tox-wasm-tunnel listen --expose 22 --allow-reverse 8080         (peers may open port 8080)
  $ tox-wasm-tunnel listen --allow-reverse 8080                     (… and reach nothing)
  $ tox-wasm-tunnel listen --expose 22 --max-streams 50 --max-peers 4
  $ tox-wasm-tunnel listen --json | your-program`,
  run: (context, { flags }) => runListen(context, flags),
});

async function runListen(context: Context, flags: ListenFlags): Promise<ExitCode> {
  context.reporter.logEvents();
  const exposed = exposedBy(flags.expose);
  const expose = exposed ?? [];
  const reverse = flags.allowReverse ?? [];
  const isDefault = exposed === undefined && flags.allowReverse === undefined;
  const allowPeers = readValues('--allow-peer', flags.allowPeer, parseAllowedPeer);
  const denyPeers = readValues('--deny-peer', flags.denyPeer, parsePeerKey);
  // Report mistakes that show without the names of tickets before anything is touched.
  readRules(context, expose, allowPeers, undefined);
  readReverse(reverse, allowPeers, undefined);
  const metrics = metricsOf(flags);
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
  const library = await context.io.loadLibrary();
  return serve<ListenerHandle>(context, {
    role: 'listener',
    stateFolder: await stateFolderOf(flags, context.io),
    passphrase,
    onBusy: 'fail',
    metrics,
    start: (identity, signal, saved, places) => {
      const access = parseAccessState(saved) ?? { tickets: [], peers: [], denied: [] };
      return library.listen({
        ...options,
        ...(identity === undefined ? {} : { identity }),
        signal,
        access,
        ...(places.length === 0 ? {} : { places }),
        expose: isDefault ? 'loopback' : readRules(context, expose, allowPeers, access),
        allowReverse: readReverse(reverse, allowPeers, access),
      });
    },
    access: ({ access }) => access.state,
    begin: (listener, saved) => ({
      control: {
        ...listenerMethods({
          listener,
          isName: (name) => listener.access.isName(name),
          wallClock: () => context.io.wallClock(),
        }),
        ...ticketMethods(listener, saved),
        ...statusMethod({ role: 'listener', handle: listener, forwards: () => [], io: context.io }),
      },
      up: () => announce(context, listener, flags),
    }),
  });
}

async function announce({ reporter }: Context, listener: ListenerHandle, flags: ListenFlags): Promise<void> {
  const { toxId, ticket, rules, reverseRules } = listener;
  reporter.event({
    event: 'started',
    toxId,
    ticket,
    expose: rules.list().map((rule) => printRule(rule)),
    isDefault: rules.isDefault,
    allowReverse: reverseRules.list().map(printReverseRule),
    command: await connectCommandLine(ticket, exampleOf(rules.list(), reverseRules.list()), flags),
  });
  if (flags.qr === true)
    for (const line of (await import('../output/qr.js')).qrCode(ticket)) reporter.people(line);
}

/**
 * Parses `--expose`. Its rules may name peers and tickets.
 *
 * @param saved the saved tickets and peers; undefined while they are unknown: then rules with names are
 *   skipped, and notes about ambiguous rules are not printed
 */
function readRules(
  { reporter }: Context,
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  saved: AccessState | undefined,
): Rule[] {
  return readNamed('--expose', texts, allowPeers, saved, (text, isName) => {
    const { rule, note } = readRule(text, isName);
    if (note !== undefined && saved !== undefined) reporter.people(printable(note));
    return rule;
  });
}

/** Parses `--allow-reverse`, like {@link readRules}. */
function readReverse(
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  saved: AccessState | undefined,
): ReverseRule[] {
  return readNamed('--allow-reverse', texts, allowPeers, saved, parseReverseRule);
}

function readNamed<Read>(
  option: string,
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  saved: AccessState | undefined,
  read: (text: string, isName: IsName) => Read,
): Read[] {
  const names = new Set(
    [...allowPeers, ...(saved?.peers ?? []), ...(saved?.tickets ?? [])].map(({ name }) => name),
  );
  const rules: Read[] = [];
  for (const text of texts) {
    try {
      rules.push(readValue(option, text, (rule) => read(rule, (name) => names.has(name))));
    } catch (error) {
      const isUnknownName = TunnelError.is(error) && error.code === 'ERR_USAGE';
      if (!isUnknownName || saved !== undefined) throw error;
    }
  }
  return rules;
}

/** The command to run on the other machine, with the private bootstrap nodes of this one. */
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

/**
 * The first target that the default ticket opens, in its shortest form; PORT when the user has to choose one.
 */
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
