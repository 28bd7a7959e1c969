import * as v from 'valibot';
import { TunnelError } from '../core/errors.js';
import { MAX_BYTES_PER_SECOND } from '../core/limits.js';
import { parseExposeSpec } from '../rules/expose.js';
import { parseReverseRule } from '../rules/reverse_rule.js';
import { parseName } from './name.js';

/**
 * Maximum number of tickets of one listener, including the default ticket. Each needs a row in a table of the
 * worker.
 */
export const MAX_TICKETS = 1000;
export const MAX_ALLOWED_PEERS = 1000;
export const MAX_DENIED_PEERS = 10_000;
/** Highest number of peers that one ticket can be limited to. The state file keeps the key of each. */
export const MAX_USES = 1000;
/** Maximum number of rules of one ticket. */
export const MAX_RULES = 256;

/** How long open streams may continue after a ticket has expired, unless the ticket says otherwise. */
export const DEFAULT_GRACE_MS = 10 * 60_000;

/** The ticket that `listen` prints. */
export const DEFAULT_TICKET = 'default';

const digits = (bytes: number) =>
  v.pipe(v.string(), v.regex(new RegExp(`^[0-9A-F]{${bytes * 2}}$`), `expected ${bytes * 2} digits`));

/** Names of tickets and peers, as in `--expose NAME:…` and in tables. */
export const NameSchema = v.pipe(
  v.string(),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    try {
      if (parseName(dataset.value) !== dataset.value) addIssue({ message: 'a name must be in lower case' });
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      addIssue({ message: error.message });
    }
  }),
);

/** A list of strings that `parse` accepts. */
const rulesRead = (parse: (text: string) => unknown) =>
  v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.rawCheck(({ dataset, addIssue }) => {
          if (!dataset.typed) return;
          try {
            parse(dataset.value);
          } catch (error) {
            if (!TunnelError.is(error)) throw error;
            addIssue({ message: error.message });
          }
        }),
      ),
    ),
    v.maxLength(MAX_RULES),
  );

/** Rules as in `--expose`, without names. An empty list opens nothing. */
export const RulesSchema = rulesRead(parseExposeSpec);

/** Rules as in `--allow-reverse`, without names. An empty list opens nothing. */
export const AllowReverseSchema = rulesRead((text) => parseReverseRule(text));

export const UsesSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_USES));

/** Bytes per second. */
export const RateSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_BYTES_PER_SECOND));

/** Milliseconds, since 1970 or as a duration. */
export const MomentSchema = v.pipe(v.number(), v.integer(), v.minValue(0));

const TicketSchema = v.object({
  name: NameSchema,
  secret: digits(32),
  expiresAtMs: v.optional(MomentSchema),
  graceMs: v.optional(MomentSchema),
  uses: v.optional(UsesSchema),
  bytesPerSecond: v.optional(RateSchema),
  // Public keys of the peers that it let in, when their number is limited.
  usedBy: v.optional(v.pipe(v.array(digits(32)), v.maxLength(MAX_USES))),
  rules: v.optional(RulesSchema),
  allowReverse: v.optional(AllowReverseSchema),
});

/** A listener's tickets, allowed peers and denied peers. Contains secrets. */
export const AccessStateSchema = v.object({
  tickets: v.pipe(v.array(TicketSchema), v.maxLength(MAX_TICKETS)),
  peers: v.pipe(
    v.array(v.object({ name: NameSchema, publicKey: digits(32) })),
    v.maxLength(MAX_ALLOWED_PEERS),
  ),
  denied: v.pipe(v.array(digits(32)), v.maxLength(MAX_DENIED_PEERS)),
});

/**
 * A listener's tickets, allowed peers and denied peers, as plain JSON for a file that only its owner can read.
 * Contains secrets.
 */
export type AccessState = v.InferOutput<typeof AccessStateSchema>;
export type TicketState = v.InferOutput<typeof TicketSchema>;

/**
 * Reads a saved {@link AccessState}.
 *
 * @param json plain JSON, or undefined when nothing was saved
 * @returns undefined for undefined
 * @throws {TunnelError} ERR_STATE_INVALID; the message names the place of a wrong value, never the value, which may be
 *   secret
 *
 * @example
 * ```ts
 * const listener = await listen({ access: parseAccessState(JSON.parse(saved)) });
 * ```
 */
export function parseAccessState(json: unknown): AccessState | undefined {
  if (json === undefined) return undefined;
  const read = v.safeParse(AccessStateSchema, json, { abortEarly: true });
  if (!read.success) {
    const [issue] = read.issues;
    const path = issue.path?.map(({ key }) => String(key)).join('.') ?? 'it';
    throw new TunnelError('ERR_STATE_INVALID', `the part about access is damaged: ${path} is wrong`);
  }
  for (const [what, names] of [
    ['tickets', read.output.tickets.map(({ name }) => name)],
    ['peers', read.output.peers.map(({ publicKey }) => publicKey)],
  ] as const) {
    if (new Set(names).size < names.length)
      throw new TunnelError(
        'ERR_STATE_INVALID',
        `the part about access is damaged: it has the same ${what} twice`,
      );
  }
  return read.output;
}
