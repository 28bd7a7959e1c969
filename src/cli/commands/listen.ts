import { parseAccessState } from '../../access/access_state.js';
import { looksLikeTicket } from '../../core/secret_text.js';
import { formatBootstrapLine } from '../../network/bootstrap_list.js';
import { printHostPort } from '../../rules/endpoint.js';
import { printRule, type Rule } from '../../rules/expose.js';
import { printReverseRule, type ReverseRule } from '../../rules/reverse_rule.js';
import { USUAL_PORTS } from '../../rules/service_names.js';
import { type Context, defineCommand } from '../command.js';
import { namedNodes, namedOrPublicNodes } from '../options/bootstrap_nodes.js';
import { listenOptions } from '../options/common_options.js';
import {
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
import { passphraseOf } from '../options/passphrase.js';
import { networkProxyOf } from '../options/proxies.js';
import { NAME_A_RULE } from '../options/rule_values.js';
import { shareCommand } from '../options/share_command.js';
import { usage } from '../options/usage.js';
import { PROGRAM } from '../output/reporter.js';
import type { ExitCode } from '../process/exit_codes.js';
import type { ListenerHandle } from '../process/library.js';
import { AuditLog } from '../service/audit_log.js';
import { listenerMethods } from '../service/listener_methods.js';
import { ListenerRules, RULE_FLAGS, type RuleFlags } from '../service/listener_rules.js';
import { needRestart, type Reload } from '../service/reload.js';
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
    LimitFlags,
    RuleFlags {
  readonly needRule?: boolean;
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

async function runListen(context: Context, flags: ListenFlags): Promise<ExitCode> {
  context.reporter.logEvents();
  // Before anything is touched.
  const rules = new ListenerRules(context.reporter, flags);
  if (flags.needRule === true && rules.isDefault)
    throw usage(`--need-rule, but no rule is given here or in the --config file; ${NAME_A_RULE}`);
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
  };
  const passphrase = await passphraseOf(flags, context.io);
  const library = await context.io.loadLibrary();
  const audit = await auditOf(context, flags);
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
      const listener = await library.listen({
        ...options,
        ...(identity === undefined ? {} : { identity }),
        signal,
        access,
        ...(places.length === 0 ? {} : { places }),
        ...rules.open(state, access),
      });
      rules.follow(listener);
      // At once: peers may connect before the state is saved.
      if (audit !== undefined) listener.on('audit', (record) => audit.record(record));
      return listener;
    },
    access: (listener) => rules.stateWith(listener),
    begin: (listener, settled) => ({
      control: {
        ...listenerMethods({
          listener,
          isName: (name) => listener.access.isName(name),
          wallClock: () => context.io.wallClock(),
          saved: rules.saved,
          isNone: () => rules.isNone,
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
      up: () => announce(context, listener, flags, rules.savedTexts),
      reload: reloadOf(listener, rules, flags),
    }),
  });
}

/** Returns a function that applies the rules of a call that was read again. @param first the options at the start */
function reloadOf(listener: ListenerHandle, rules: ListenerRules, first: ListenFlags): Reload {
  const nodesAtStart = nodeLines(first);
  return async ({ flags }) => {
    // The call is parsed by the same command as the first one.
    const next = flags as ListenFlags;
    const restart = needRestart(first, next, RULE_FLAGS);
    if ((await nodeLines(next)) !== (await nodesAtStart)) restart.push('nodes');
    return { changes: rules.reload(listener, next), restart: [...new Set(restart)] };
  };
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
    ...(rules.isDefault ? { answering: await io.answeringPorts(USUAL_PORTS) } : {}),
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
