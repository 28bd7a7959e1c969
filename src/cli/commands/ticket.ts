import { randomBytes } from 'node:crypto';
import { Option } from 'commander';
import * as v from 'valibot';
import { DEFAULT_TICKET, NameSchema, parseAccessState } from '../../access/access_state.js';
import { parseName } from '../../access/name.js';
import { AccessPolicy } from '../../access/policy.js';
import { formatTicket, SECRET_BYTES } from '../../access/ticket.js';
import type { TicketInfo } from '../../access/ticket_book.js';
import { callListener } from '../../control/client.js';
import { SAME_PROCESS } from '../../control/server.js';
import { TunnelError } from '../../core/errors.js';
import { LOCALHOST, looksLikeName } from '../../core/host.js';
import { MAX_BYTES_PER_SECOND } from '../../core/limits.js';
import { looksLikeTicket } from '../../core/secret_text.js';
import { makeToxId } from '../../network/tox_id.js';
import { type ExposeSpec, expectTarget, parseExposeSpec, printExposeSpec } from '../../rules/expose.js';
import { parseReverseRule, printReverseRule } from '../../rules/reverse_rule.js';
import { createIdentity, publicKeyOf } from '../../state/identity.js';
import { type IdentityPlace, openIdentity } from '../../state/identity_file.js';
import { type Context, defineCommand } from '../command.js';
import { actionOf } from '../options/action.js';
import {
  allowReverse as allowReverseOption,
  expose as exposeOption,
  output,
  passphrase,
  qr,
  stateFolder,
} from '../options/common_options.js';
import { exposedBy, type OutputFlags } from '../options/flags.js';
import { bytesOf } from '../options/limit_flags.js';
import { readValue, readValues } from '../options/named_value.js';
import { passphraseOf } from '../options/passphrase.js';
import { usage } from '../options/usage.js';
import { humanBytes, humanDuration, printable } from '../output/human.js';
import { qrCode } from '../output/qr.js';
import { PROGRAM } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import { KnownNames } from '../service/known_names.js';
import { SavedRules } from '../service/saved_rules.js';
import { type TicketDesk, ticketMethods } from '../service/ticket_methods.js';
import { newIdentity } from './id.js';

interface TicketFlags extends OutputFlags {
  readonly state?: string;
  readonly passphraseFile?: string;
  readonly rotate?: boolean;
  readonly name?: string;
  readonly expose?: readonly string[];
  readonly allowReverse?: readonly string[];
  readonly expires?: string;
  readonly grace?: string;
  readonly uses?: string;
  readonly rate?: string;
  readonly qr?: boolean;
}

export const ticket = defineCommand<TicketFlags>({
  name: 'ticket',
  group: 'Access',
  summary: 'Show, create, replace or revoke tickets of the listener',
  stateOf: ['listen'],
  arguments: {
    '[ACTION]': 'new, list or revoke; default: print the ticket that listen prints',
    '[NAME]': 'name of the ticket to create or revoke',
  },
  options: [
    new Option('--rotate', 'replace the ticket, and disconnect peers that joined with the old one'),
    new Option('--name <NAME>', 'the same as NAME; with --rotate, the ticket to replace'),
    new Option('--expires <TIME>', 'accept new connections for 90s, 30m, 2h or 7d (default: forever)'),
    new Option(
      '--grace <TIME>',
      'with --expires: how long connections that are open by then may continue, 0s to end them at once (default: 10m)',
    ),
    new Option('--uses <N>', 'number of peers that may join with it (default: any)'),
    new Option(
      '--rate <BYTES>',
      'bytes per second for all its holders together, each way, such as 2M (default: no limit)',
    ),
    exposeOption(
      'let holders of the new ticket reach only this port or socket path; "none" opens nothing; repeatable (default: what listen opens to everyone)',
    ),
    allowReverseOption(
      'let holders of the new ticket open only this port with -R; repeatable (default: what listen opens to everyone; none if --expose is given)',
    ),
    qr(),
    stateFolder(),
    passphrase(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel ticket                     print the ticket that listen prints
  $ tox-wasm-tunnel ticket --rotate            replace it; disconnect peers that joined with it
  $ tox-wasm-tunnel ticket new ci --expose 8080 --expires 2h --uses 1
  $ tox-wasm-tunnel ticket list
  $ tox-wasm-tunnel ticket revoke ci

Works whether the listener runs or not.`,
  run: (context, { words: [action, name], flags }) => runTicket(context, action, name, flags),
});

interface Question {
  readonly method: string;
  readonly params: object;
}

async function runTicket(
  context: Context,
  action: string | undefined,
  name: string | undefined,
  flags: TicketFlags,
): Promise<ExitCode> {
  const question = questionOf(action, name, flags, context.io.wallClock().getTime());
  const folder = flags.state ?? (await context.io.stateFolder());
  const passphrase = await passphraseOf(flags, context.io);
  const answer = await ask(context, { folder, role: 'listener', passphrase }, question);
  if (question.method === 'ticket.list') list(context, v.parse(ListAnswer, answer));
  else if (question.method === 'ticket.revoke') {
    const { name: revoked, note } = v.parse(RevokeAnswer, answer);
    context.reporter.event({ event: 'revoked', name: revoked });
    if (note !== undefined) context.reporter.people(printable(note));
  } else {
    const shown = v.parse(ShowAnswer, answer);
    context.reporter.result(shown.ticket);
    context.reporter.event({ event: 'ticket', ...shown });
    if (flags.uses !== undefined)
      context.reporter.people(
        'A connector with --ephemeral is another peer in each run, so each run uses the ticket once more.',
      );
    if (flags.qr === true) for (const line of qrCode(shown.ticket)) context.reporter.people(line);
  }
  return EXIT.ok;
}

const RevokeAnswer = v.object({ name: NameSchema, note: v.optional(v.string()) });
const ShowAnswer = v.object({ name: NameSchema, ticket: v.string() });
const ListAnswer = v.array(
  v.object({
    name: NameSchema,
    expiresAtMs: v.optional(v.number()),
    graceMs: v.optional(v.number()),
    uses: v.optional(v.number()),
    bytesPerSecond: v.optional(v.number()),
    used: v.optional(v.number()),
    rules: v.optional(v.array(v.string())),
    allowReverse: v.optional(v.array(v.string())),
    status: v.picklist(['valid', 'expired', 'used-up']),
  }),
);

function questionOf(
  word: string | undefined,
  name: string | undefined,
  flags: TicketFlags,
  wallMs: number,
): Question {
  const action = word === undefined ? undefined : actionOf('ticket', ['new', 'list', 'revoke'], word);
  const { rotate = false, expose, allowReverse, expires, grace, uses, rate } = flags;
  const parts = [expose, allowReverse, expires, grace, uses, rate];
  if (action !== 'new' && parts.some((part) => part !== undefined)) {
    throw usage(
      '--expose, --allow-reverse, --expires, --grace, --uses and --rate are only for ticket new NAME',
    );
  }
  if (rotate && action !== undefined) throw usage(`--rotate takes no action: ${PROGRAM} ticket --rotate`);
  if (name !== undefined && flags.name !== undefined)
    throw usage('NAME and --name are the same; give one of the two');
  const given = name ?? flags.name;
  const nameIn = (text: string): string => readValue(name === undefined ? '--name' : 'NAME', text, parseName);
  switch (action) {
    case undefined:
      if (flags.name !== undefined && !rotate) throw usage('--name needs new, revoke or --rotate');
      return rotate
        ? { method: 'ticket.rotate', params: { name: nameIn(given ?? DEFAULT_TICKET) } }
        : { method: 'ticket.show', params: {} };
    case 'list':
      if (given !== undefined) throw usage('ticket list takes no name; it lists all tickets');
      return { method: 'ticket.list', params: {} };
    case 'revoke':
      if (given === undefined)
        throw usage(
          'ticket revoke needs the name of a ticket, for example ticket revoke ci; see ticket list',
        );
      return { method: 'ticket.revoke', params: { name: nameIn(given) } };
    case 'new': {
      if (grace !== undefined && expires === undefined)
        throw usage('--grace needs --expires, for example --expires 2h --grace 5m');
      const exposed = exposedBy(expose);
      if (given === undefined) throw usage('a new ticket needs a name, for example ticket new ci');
      if (looksLikeTicket(given))
        throw usage('this is a ticket or Tox ID, but NAME belongs here; give a name like ci');
      return {
        method: 'ticket.new',
        params: {
          name: nameIn(given),
          ...(expires !== undefined && { expiresAtMs: wallMs + durationOf(expires) }),
          ...(grace !== undefined && { graceMs: durationOf(grace, '--grace') }),
          ...(uses !== undefined && { uses: usesOf(uses) }),
          ...(rate !== undefined && { bytesPerSecond: rateOf(rate) }),
          ...(exposed !== undefined && {
            rules: readValues('--expose', exposed, exposedTarget).map(printExposeSpec),
          }),
          ...(allowReverse !== undefined && {
            allowReverse: readValues('--allow-reverse', allowReverse, (text) => parseReverseRule(text)).map(
              printReverseRule,
            ),
          }),
        },
      };
    }
  }
}

function exposedTarget(text: string): ExposeSpec {
  const spec = parseExposeSpec(text);
  expectTarget(text, spec);
  return spec;
}

/** Asks the running listener or, if none runs, opens its state file. */
async function ask(context: Context, place: IdentityPlace, { method, params }: Question): Promise<unknown> {
  try {
    return await callListener(place.folder, method, params);
  } catch (error) {
    if (!TunnelError.is(error) || error.code !== 'ERR_CONTROL') throw error;
    return await askFile(context, place, { method, params }).catch((other: unknown) => {
      // The listener runs but did not answer: report that.
      throw TunnelError.is(other) && other.code === 'ERR_STATE_BUSY' ? error : other;
    });
  }
}

async function askFile(
  { io, reporter }: Context,
  place: IdentityPlace,
  { method, params }: Question,
): Promise<unknown> {
  const opened = await openIdentity({ ...place, onBusy: 'fail', isBrief: true, timers: io.timers });
  try {
    if (opened.identity === undefined) reporter.people(newIdentity(place));
    const identity = opened.identity ?? createIdentity();
    const state = parseAccessState(opened.access);
    const saved = new SavedRules(opened.access);
    const known = new KnownNames(opened.access);
    const access = new AccessPolicy({
      ...(state === undefined ? {} : { state }),
      wallMs: () => io.wallClock().getTime(),
      newSecret: () => Uint8Array.from(randomBytes(SECRET_BYTES)),
    });
    const toxId = makeToxId(publicKeyOf(identity.secretKey), identity.nospam);
    const desk: TicketDesk = {
      access,
      ticketOf: (name) => {
        const secret = access.secretOf(name);
        return secret && formatTicket({ toxId, secret });
      },
      warningOf: (name) =>
        `Rules for ${name} in the options or the --config file of the listener open nothing from now on; remove them there.`,
    };
    // A rule never outlives its ticket, nor is it older than its ticket. Names of --allow-peer are not known here.
    const namesNow = () => new Set(access.tickets().map(({ name }) => name));
    const before = namesNow();
    known.learn(access.state.peers);
    known.learn(access.tickets());
    const save = (): Promise<void> => {
      const now = namesNow();
      saved.read((name) => looksLikeName(name) && name !== LOCALHOST && before.has(name) === now.has(name));
      known.learn(access.tickets());
      return opened.save(identity, { ...access.state, ...saved.state, ...known.state });
    };
    if (opened.identity === undefined || state === undefined) await save();
    return await ticketMethods(desk, save)[method]?.(params, SAME_PROCESS);
  } finally {
    await opened.release();
  }
}

function list({ io, reporter }: Context, tickets: readonly TicketInfo[]): void {
  const nowMs = io.wallClock().getTime();
  for (const one of tickets) {
    const { name, status, expiresAtMs, uses, used = 0, bytesPerSecond, rules, allowReverse } = one;
    const words = [name, status];
    if (status !== 'expired' && expiresAtMs !== undefined) {
      words.push(`expires in ${humanDuration(expiresAtMs - nowMs)}`);
    }
    if (uses !== undefined) words.push(`used ${used} of ${uses}`);
    if (bytesPerSecond !== undefined) words.push(`${humanBytes(bytesPerSecond)}/s`);
    // A ticket with rules of its own ignores the general rules.
    if (rules !== undefined || allowReverse !== undefined) words.push(`reaches ${listed(rules)}`);
    if (allowReverse !== undefined) words.push(`may open ${listed(allowReverse)}`);
    reporter.result(words.map(printable).join('\t'));
  }
  reporter.event({ event: 'tickets', tickets });
}

const listed = (rules: readonly string[] = []): string => (rules.length === 0 ? 'nothing' : rules.join(' '));

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const MAX_DAYS = 3650;

/** Parses `90s`, `30m`, `2h` or `7d` to milliseconds. Only a grace may be 0. */
export function durationOf(text: string, option: '--expires' | '--grace' = '--expires'): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  if ((ms > 0 || (ms === 0 && option === '--grace')) && ms <= MAX_DAYS * 86_400_000) return ms;
  throw usage(
    `${option} ${JSON.stringify(text)} is not a duration such as 90s, 30m, 2h or 7d, at most ${MAX_DAYS}d`,
  );
}

/** Parses `2M` to bytes per second. */
export function rateOf(text: string): number {
  const rate = bytesOf(text);
  if (rate >= 1 && rate <= MAX_BYTES_PER_SECOND) return rate;
  throw usage(
    `--rate ${JSON.stringify(text)} is not a number of bytes per second (K, M and G may follow) from 1 to 1024G, for example 2M`,
  );
}

export function usesOf(text: string): number {
  const uses = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (uses >= 1 && uses <= 1000) return uses;
  throw usage(`--uses ${JSON.stringify(text)} is not a number of peers from 1 to 1000, for example 1`);
}
