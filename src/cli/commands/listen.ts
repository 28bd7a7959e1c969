import { parseAccessState } from '../../access/access_state.js';
import { type AllowedPeer, parseAllowedPeer, parsePeerKey } from '../../access/peer_key.js';
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
import { expectReverseRules, expectRules, NAME_A_RULE } from '../options/rule_values.js';
import { shareCommand } from '../options/share_command.js';
import { usage } from '../options/usage.js';
import { printable } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import type { ExitCode } from '../process/exit_codes.js';
import type { ListenerHandle } from '../process/library.js';
import { AuditLog } from '../service/audit_log.js';
import { KnownNames } from '../service/known_names.js';
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
  readonly needRule?: boolean;
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
  /** `--expose none`: no saved rule opens anything either. */
  readonly isNone: boolean;
  readonly allowPeers: readonly AllowedPeer[];
  readonly denyPeers: readonly Uint8Array[];
}

/** The same as {@link Written}, with the rules that the texts mean. */
interface Configured extends Written {
  readonly rules: readonly Rule[];
  readonly reverseRules: readonly ReverseRule[];
  /** The rules of the options that apply, as they were written, by a text that is equal for equal rules. */
  readonly given: ReadonlyMap<string, string>;
  /** Warnings about rules whose name is gone. */
  readonly gone: readonly string[];
}

/** Reports mistakes that show without the names of tickets. */
function writtenIn(flags: ListenFlags): Written {
  const exposed = exposedBy(flags.expose);
  expectRules('--expose', exposed);
  expectReverseRules(flags.allowReverse);
  return {
    expose: exposed ?? [],
    reverse: flags.allowReverse ?? [],
    isDefault: exposed === undefined && flags.allowReverse === undefined,
    isNone: exposed?.length === 0,
    allowPeers: readValues('--allow-peer', flags.allowPeer, parseAllowedPeer),
    denyPeers: readValues('--deny-peer', flags.denyPeer, parsePeerKey),
  };
}

async function runListen(context: Context, flags: ListenFlags): Promise<ExitCode> {
  context.reporter.logEvents();
  // Before anything is touched.
  const written = writtenIn(flags);
  if (flags.needRule === true && written.isDefault)
    throw usage(`--need-rule, but no rule is given here or in the --config file; ${NAME_A_RULE}`);
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
  let atStart: Configured = { ...written, rules: [], reverseRules: [], given: new Map(), gone: [] };
  let saved = new SavedRules(undefined);
  let known = new KnownNames(undefined);
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
      known = new KnownNames(state);
      for (const owners of [access.tickets, access.peers, allowPeers]) known.learn(owners);
      const isName = nameIn(allowPeers, access.tickets, access.peers);
      saved.isIgnored = written.isNone;
      const { notes, ...read } = readBoth(written, isName, known);
      for (const line of [...notes, ...read.gone]) context.reporter.people(printable(line));
      atStart = { ...written, ...withSaved(read, readSaved(context, saved, isName)) };
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
      known.learn(access.tickets());
      known.learn(access.state.peers);
      return { ...access.state, ...saved.state, ...known.state };
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
        ...ticketMethods(
          {
            access: listener.access,
            ticketOf: (name) => listener.ticketOf(name),
            warningOf: (name) => goingWith(listener, name),
          },
          settled,
        ),
        ...statusMethod({ role: 'listener', handle: listener, forwards: () => [], io: context.io }),
      },
      up: () => announce(context, listener, flags, saved.texts),
      reload: reloadOf(context, listener, flags, atStart, saved, known),
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
  known: KnownNames,
): Reload {
  const { access, rules, reverseRules } = listener;
  let now = atStart;
  let isReloading = false;
  const isNameNow = (name: string): boolean => access.isName(name);
  const apply = (next: Configured): void => {
    // Together: rules of either kind decide whether a peer has rules of its own.
    rules.batch(() => {
      reverseRules.batch(() => {
        rules.replace(now.rules, next.rules);
        reverseRules.replace(now.reverseRules, next.reverseRules);
        if (!next.isDefault || saved.isKnown) rules.closeDefault();
      });
    });
    now = next;
  };
  // A rule for a name applies while a ticket or a peer has that name.
  access.on('admission', () => {
    if (isReloading) return;
    known.learn(access.tickets());
    const { notes: _, ...read } = readBoth(now, isNameNow, known);
    for (const line of read.gone) if (!now.gone.includes(line)) context.reporter.people(printable(line));
    apply({ ...now, ...withSaved(read, saved.read(isNameNow)) });
  });
  const nodesAtStart = nodeLines(first);
  return async ({ flags }) => {
    // The call is parsed by the same command as the first one.
    const next = flags as ListenFlags;
    const written = writtenIn(next);
    known.learn(written.allowPeers);
    const isName = nameIn(written.allowPeers, access.tickets(), access.state.peers);
    const { notes, ...read } = readBoth(written, isName, known);
    const restart = needRestart(first, next, RELOADED);
    if ((await nodeLines(next)) !== (await nodesAtStart)) restart.push('nodes');
    const before = now;
    const wasIgnored = saved.isIgnored;
    try {
      isReloading = true;
      saved.isIgnored = written.isNone;
      const wanted = { ...written, ...withSaved(read, saved.read(isNameNow)) };
      rules.expectRoom(now.rules, wanted.rules);
      reverseRules.expectRoom(now.reverseRules, wanted.reverseRules);
      access.configure(written);
      apply(wanted);
    } finally {
      isReloading = false;
      if (now === before) saved.isIgnored = wasIgnored;
    }
    // Keep the names of peers that the configuration may no longer have at the next start.
    listener.emit('access');
    for (const line of [...notes, ...read.gone, ...ignoredIn(saved)])
      context.reporter.people(printable(line));
    const isEmptied = rules.list().length === 0 && written.isDefault && !rules.isDefault && !before.isDefault;
    const changes = [
      ...changesOf(before.given, now.given),
      ...changesOf(asOptions('--allow-peer', first.allowPeer), asOptions('--allow-peer', next.allowPeer)),
      ...changesOf(asOptions('--deny-peer', first.denyPeer), asOptions('--deny-peer', next.denyPeer)),
      ...(isEmptied ? ['no rule is left, so nothing is open; only a restart opens the whole loopback'] : []),
    ];
    first = { ...first, allowPeer: next.allowPeer ?? [], denyPeer: next.denyPeer ?? [] };
    return { changes, restart: [...new Set(restart)] };
  };
}

/** @param before texts to show, by a text that is equal for equal values */
function changesOf(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const added = [...after].filter(([key]) => !before.has(key)).map(([, text]) => `added ${text}`);
  const removed = [...before].filter(([key]) => !after.has(key)).map(([, text]) => `removed ${text}`);
  return [...added, ...removed];
}

const asOptions = (option: string, values: readonly string[] = []): Map<string, string> =>
  new Map(values.map((value) => [value, `${option} ${value}`]));

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
  { io, reporter }: Context,
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
    expose: rules.list().map(printRule),
    isDefault: rules.isDefault,
    ...(rules.isDefault ? { answering: await io.answeringPorts() } : {}),
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

interface Named {
  readonly name?: string | undefined;
}

function nameIn(...owners: (readonly Named[])[]): IsName {
  const names = new Set(owners.flat().map(({ name }) => name));
  return (name) => names.has(name);
}

interface BothRules {
  readonly rules: readonly Rule[];
  readonly reverseRules: readonly ReverseRule[];
}

type ReadRules = BothRules & Pick<Configured, 'given' | 'gone'>;

/**
 * Parses `--expose` and `--allow-reverse`, whose rules may name peers and tickets. Leaves out the rules for names that
 * are gone.
 *
 * @returns `notes`: about ambiguous rules
 * @throws {TunnelError} ERR_SPEC_INVALID; ERR_USAGE for a name that never existed
 */
function readBoth(
  { expose, reverse }: Pick<Written, 'expose' | 'reverse'>,
  isName: IsName,
  known: KnownNames,
): ReadRules & { readonly notes: readonly string[] } {
  const given = new Map<string, string>();
  const gone: string[] = [];
  const notes: string[] = [];
  const readAll = <Read>(
    option: string,
    texts: readonly string[],
    read: (text: string, isName: IsName) => Read,
  ): Read[] =>
    texts.flatMap((text) => {
      const [word = '', ...rest] = text.toLowerCase().split(':');
      const isGone = rest.length > 0 && known.has(word) && !isName(word);
      const rule = readValue(option, text, (each) =>
        read(each, (name) => isName(name) || (isGone && name === word)),
      );
      if (!isGone) return [rule];
      gone.push(
        `Warning: ${option} ${text} opens nothing, because ${word} is no longer a ticket or an allowed peer; remove the rule, or for the host of that name write ${word}.:PORT`,
      );
      return [];
    });
  const rules = readAll('--expose', expose, (text, isKnown) => {
    const { rule, note } = readRule(text, isKnown);
    if (note !== undefined && rule.name !== undefined && isName(rule.name)) notes.push(note);
    return { rule, text };
  });
  const reverseRules = readAll('--allow-reverse', reverse, (text, isKnown) => ({
    rule: parseReverseRule(text, isKnown),
    text,
  }));
  for (const { rule, text } of rules) given.set(`--expose ${printRule(rule)}`, text);
  for (const { rule, text } of reverseRules)
    given.set(`--allow-reverse ${printReverseRule(rule)}`, `--allow-reverse ${text}`);
  return {
    rules: rules.map(({ rule }) => rule),
    reverseRules: reverseRules.map(({ rule }) => rule),
    given,
    gone,
    notes,
  };
}

/** Reads the saved rules, and says which ones are dropped or ignored. */
function readSaved({ reporter }: Context, saved: SavedRules, isName: IsName): BothRules {
  const { forgotten, ...both } = saved.read(isName);
  for (const text of forgotten)
    reporter.people(
      printable(`The saved rule ${text} is dropped: no ticket and no peer has its name any more.`),
    );
  for (const line of ignoredIn(saved)) reporter.people(printable(line));
  return both;
}

function ignoredIn({ ignored }: SavedRules): string[] {
  if (ignored.length === 0) return [];
  return [
    `Because of --expose none, the rules saved with rule add --save open nothing: ${ignored.join(' ')}; rule remove --save removes them for good.`,
  ];
}

const withSaved = (configured: ReadRules, saved: BothRules): ReadRules => ({
  ...configured,
  rules: [...configured.rules, ...saved.rules],
  reverseRules: [...configured.reverseRules, ...saved.reverseRules],
});

/** A warning for the user who revokes a ticket that has rules. */
function goingWith({ rules, reverseRules }: ListenerHandle, name: string): string | undefined {
  const texts = [
    ...rules.list().flatMap((rule) => (rule.name === name ? [printRule(rule)] : [])),
    ...reverseRules
      .list()
      .flatMap((rule) => (rule.name === name ? [`--allow-reverse ${printReverseRule(rule)}`] : [])),
  ];
  if (texts.length === 0) return undefined;
  return `The rules for ${name} went with it: ${texts.join(' ')}. In the options or the --config file of the listener they open nothing from now on; remove them there.`;
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
