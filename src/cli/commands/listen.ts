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
import { usage } from '../options/usage.js';
import { printable } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import type { ExitCode } from '../process/exit_codes.js';
import type { ListenerHandle } from '../process/library.js';
import { AuditLog } from '../service/audit_log.js';
import { listenerMethods } from '../service/listener_methods.js';
import { needRestart, type Reload } from '../service/reload.js';
import { SavedRules } from '../service/saved_rules.js';
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
  readonly hideTicket?: boolean;
  readonly auditLog?: string;
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
  $ tox-wasm-tunnel listen --expose 22 --audit-log -                (who reached what)
  $ tox-wasm-tunnel listen --json | your-program`,
  run: (context, { flags }) => runListen(context, flags),
});

/** The options that say who may reach what, as they were written. */
interface Written {
  readonly expose: readonly string[];
  readonly reverse: readonly string[];
  /** No rule is given, so the whole loopback is open. */
  readonly isDefault: boolean;
  readonly allowPeers: readonly AllowedPeer[];
  readonly denyPeers: readonly Uint8Array[];
}

/** The same as {@link Written}, with the rules that the texts mean. */
interface Configured extends Written {
  readonly rules: readonly Rule[];
  readonly reverseRules: readonly ReverseRule[];
}

/** Reports mistakes that show without the names of tickets. */
function writtenIn(context: Context, flags: ListenFlags): Written {
  const exposed = exposedBy(flags.expose);
  const written = {
    expose: exposed ?? [],
    reverse: flags.allowReverse ?? [],
    isDefault: exposed === undefined && flags.allowReverse === undefined,
    allowPeers: readValues('--allow-peer', flags.allowPeer, parseAllowedPeer),
    denyPeers: readValues('--deny-peer', flags.denyPeer, parsePeerKey),
  };
  readRules(context, written.expose, written.allowPeers, undefined);
  readReverse(written.reverse, written.allowPeers, undefined);
  return written;
}

async function runListen(context: Context, flags: ListenFlags): Promise<ExitCode> {
  context.reporter.logEvents();
  // Before anything is touched.
  const written = writtenIn(context, flags);
  const { isDefault, allowPeers, denyPeers } = written;
  if (flags.qr === true && flags.hideTicket === true)
    throw usage('--qr and --hide-ticket cannot be combined: the code is the ticket');
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
  const audit = await auditOf(context, flags);
  let atStart: Configured = { ...written, rules: [], reverseRules: [] };
  let saved = new SavedRules(undefined);
  return serve<ListenerHandle>(context, {
    role: 'listener',
    stateFolder: await stateFolderOf(flags, context.io),
    passphrase,
    onBusy: 'fail',
    metrics,
    audit,
    hidesTicket: flags.hideTicket === true,
    start: async (identity, signal, state, places) => {
      const access = parseAccessState(state) ?? { tickets: [], peers: [], denied: [] };
      saved = new SavedRules(state);
      atStart = {
        ...written,
        ...withSaved(readBoth(context, written, access), readSaved(context, saved, written, access)),
      };
      const listener = await library.listen({
        ...options,
        ...(identity === undefined ? {} : { identity }),
        signal,
        access,
        ...(places.length === 0 ? {} : { places }),
        expose: isDefault && !saved.isKnown ? 'loopback' : atStart.rules,
        allowReverse: atStart.reverseRules,
      });
      listener.access.on('revoked', () => saved.read((name) => listener.access.isName(name)));
      // At once: peers may come before the state is saved.
      if (audit !== undefined) listener.on('audit', (record) => audit.record(record));
      return listener;
    },
    access: ({ access }) => {
      // Before another ticket can get the name of one that is revoked: the file must not give it the old rules.
      saved.read((name) => access.isName(name));
      return { ...access.state, ...saved.state };
    },
    begin: (listener, settled) => ({
      control: {
        ...listenerMethods({
          listener,
          isName: (name) => listener.access.isName(name),
          wallClock: () => context.io.wallClock(),
          saved,
          save: () => {
            listener.emit('access');
            return settled();
          },
        }),
        ...ticketMethods(listener, settled),
        ...statusMethod({ role: 'listener', handle: listener, forwards: () => [], io: context.io }),
      },
      up: () => announce(context, listener, flags, saved.texts),
      reload: reloadOf(context, listener, flags, atStart, saved),
    }),
  });
}

/** Options that {@link reloadOf} applies. */
const RELOADED: readonly (keyof ListenFlags)[] = ['expose', 'allowReverse', 'allowPeer', 'denyPeer'];

/** Returns a function that applies the rules and peers of a configuration that was read again. */
function reloadOf(
  context: Context,
  listener: ListenerHandle,
  first: ListenFlags,
  atStart: Configured,
  saved: SavedRules,
): Reload {
  const { access, rules, reverseRules } = listener;
  let now = atStart;
  const nodesAtStart = nodeLines(first);
  return async ({ flags }) => {
    // The call is parsed by the same command as the first one.
    const next = flags as ListenFlags;
    const written = writtenIn(context, next);
    const known = { tickets: access.tickets(), peers: access.state.peers };
    const ofSaved = saved.read((name) => access.isName(name));
    const wanted: Configured = { ...written, ...withSaved(readBoth(context, written, known), ofSaved) };
    const restart = needRestart(first, next, RELOADED);
    if ((await nodeLines(next)) !== (await nodesAtStart)) restart.push('nodes');
    rules.expectRoom(now.rules, wanted.rules);
    reverseRules.expectRoom(now.reverseRules, wanted.reverseRules);
    access.configure(written);
    // Together: rules of either kind decide whether a peer has rules of its own.
    rules.batch(() => {
      reverseRules.batch(() => {
        rules.replace(now.rules, wanted.rules);
        reverseRules.replace(now.reverseRules, wanted.reverseRules);
        if (!written.isDefault || saved.isKnown) rules.closeDefault();
      });
    });
    const isEmptied = rules.list().length === 0 && written.isDefault && !rules.isDefault && !now.isDefault;
    const changes = [
      ...changesOf('', now.expose, written.expose),
      ...changesOf('--allow-reverse ', now.reverse, written.reverse),
      ...changesOf('--allow-peer ', first.allowPeer ?? [], next.allowPeer ?? []),
      ...changesOf('--deny-peer ', first.denyPeer ?? [], next.denyPeer ?? []),
      ...(isEmptied ? ['no rule is left, so nothing is open; only a restart opens the whole loopback'] : []),
    ];
    now = wanted;
    first = { ...first, allowPeer: next.allowPeer ?? [], denyPeer: next.denyPeer ?? [] };
    return { changes, restart: [...new Set(restart)] };
  };
}

function changesOf(option: string, before: readonly string[], after: readonly string[]): string[] {
  return [
    ...after.filter((text) => !before.includes(text)).map((text) => `added ${option}${text}`),
    ...before.filter((text) => !after.includes(text)).map((text) => `removed ${option}${text}`),
  ];
}

/** The bootstrap nodes that the call names, also in files. */
async function nodeLines({ bootstrap = [], nodes = [] }: ListenFlags): Promise<string> {
  const found = await namedNodes({ bootstrap, nodes });
  return found.map(formatBootstrapLine).join();
}

async function auditOf({ io, reporter }: Context, { auditLog }: ListenFlags): Promise<AuditLog | undefined> {
  if (auditLog === undefined) return undefined;
  if (auditLog === '') throw usage('--audit-log needs a file, or - for standard output');
  return AuditLog.open(auditLog, {
    stdout: io.stdout,
    wallClock: () => io.wallClock(),
    complain: (message) => reporter.logger.log('error', message),
  });
}

async function announce(
  { reporter }: Context,
  listener: ListenerHandle,
  flags: ListenFlags,
  saved: readonly string[],
): Promise<void> {
  const { toxId, ticket, rules, reverseRules } = listener;
  const isHidden = flags.hideTicket === true;
  reporter.event({
    event: 'started',
    toxId,
    ...(isHidden ? {} : { ticket }),
    expose: rules.list().map((rule) => printRule(rule)),
    isDefault: rules.isDefault,
    ...(saved.length === 0 ? {} : { saved }),
    allowReverse: reverseRules.list().map(printReverseRule),
    command: await connectCommandLine(
      isHidden ? 'TICKET' : ticket,
      exampleOf(rules.list(), reverseRules.list()),
      flags,
    ),
  });
  if (flags.qr === true)
    for (const line of (await import('../output/qr.js')).qrCode(ticket)) reporter.people(line);
}

/** What has a name: tickets, and peers that are allowed by key. */
interface Names {
  readonly tickets: readonly { readonly name: string }[];
  readonly peers: AccessState['peers'];
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
  saved: Names | undefined,
): Rule[] {
  return readNamed('--expose', texts, allowPeers, saved, (text, isName) => {
    const { rule, note } = readRule(text, isName);
    if (note !== undefined && saved !== undefined) reporter.people(printable(note));
    return rule;
  });
}

/** Parses the rules of both kinds, when all names are known. */
function readBoth(context: Context, { expose, reverse, allowPeers }: Written, saved: Names): BothRules {
  return {
    rules: readRules(context, expose, allowPeers, saved),
    reverseRules: readReverse(reverse, allowPeers, saved),
  };
}

type BothRules = Pick<Configured, 'rules' | 'reverseRules'>;

/** Reads the saved rules, and says which ones are dropped. */
function readSaved(
  { reporter }: Context,
  saved: SavedRules,
  { allowPeers }: Written,
  known: Names,
): BothRules {
  const names = namesOf(allowPeers, known);
  const { forgotten, ...both } = saved.read((name) => names.has(name));
  for (const text of forgotten)
    reporter.people(
      printable(`The saved rule ${text} is dropped: no ticket and no peer has its name any more.`),
    );
  return both;
}

const withSaved = (configured: BothRules, saved: BothRules): BothRules => ({
  rules: [...configured.rules, ...saved.rules],
  reverseRules: [...configured.reverseRules, ...saved.reverseRules],
});

/** Parses `--allow-reverse`, like {@link readRules}. */
function readReverse(
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  saved: Names | undefined,
): ReverseRule[] {
  return readNamed('--allow-reverse', texts, allowPeers, saved, parseReverseRule);
}

function namesOf(
  allowPeers: readonly AllowedPeer[],
  saved: Names | undefined,
): ReadonlySet<string | undefined> {
  return new Set([...allowPeers, ...(saved?.peers ?? []), ...(saved?.tickets ?? [])].map(({ name }) => name));
}

function readNamed<Read>(
  option: string,
  texts: readonly string[],
  allowPeers: readonly AllowedPeer[],
  saved: Names | undefined,
  read: (text: string, isName: IsName) => Read,
): Read[] {
  const names = namesOf(allowPeers, saved);
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
