import * as v from 'valibot';
import { type ControlMethods, method } from '../../control/server.js';
import { Timer, type Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { fitsCredential } from '../../core/proxy.js';
import {
  parseDynamicSpec,
  parseLocalSpec,
  parseReverseSpec,
  parseUdpSpec,
} from '../../rules/forward_spec.js';
import { FORWARD_FLAGS, parseForwardFilter, type RunningForward } from '../output/forward_text.js';
import type { HeldForward, RunningForwards } from './running_forwards.js';

export interface ConnectorMethodsOptions {
  readonly forwards: RunningForwards;
  /** Of the ticket or Tox ID that this connector connects with. */
  readonly remoteDigest: string;
  readonly timers: Timers;
  /** Whether the listener is online and can answer. */
  readonly isOnline: () => boolean;
  readonly onAdded: (forward: RunningForward) => void;
  readonly onRemoved: (forward: RunningForward) => void;
}

/** How long to wait for the listener's answer about a port before the status is "asked", in milliseconds. */
const PORT_ANSWER_MS = 5_000;

const credential = v.pipe(v.string(), v.check(fitsCredential, 'it must have 1 to 255 bytes'));
const NamedSchema = v.object({
  kind: v.picklist(['local', 'dynamic', 'reverse', 'udp']),
  /** The forward in the syntax of its option. */
  spec: v.pipe(v.string('expected a forward'), v.maxLength(1024)),
});
const AddSchema = v.object({
  ...NamedSchema.entries,
  credentials: v.optional(v.object({ user: credential, password: credential })),
  /** The forward ends with the connection on which this question came. */
  isLent: v.optional(v.boolean()),
});

/** Methods of the control socket of a running connector. */
export function connectorMethods(options: ConnectorMethodsOptions): ControlMethods {
  const { forwards, onAdded, onRemoved } = options;
  const add = async ({ kind, spec, credentials }: v.InferOutput<typeof AddSchema>): Promise<HeldForward> => {
    switch (kind) {
      case 'local':
        return forwards.addLocal(parseLocalSpec(spec));
      case 'dynamic':
        return forwards.addDynamic({
          bind: parseDynamicSpec(spec),
          ...(credentials === undefined ? {} : { credentials }),
        });
      case 'reverse':
        return forwards.addReverse(parseReverseSpec(spec));
      case 'udp':
        return forwards.addUdp(parseUdpSpec(spec));
    }
  };
  return {
    lend: method(v.object({ remote: v.string() }), ({ remote }) => ({
      lends: remote === options.remoteDigest,
    })),
    'forward.list': method(v.object({}), () => ({ forwards: forwards.list() })),
    'forward.add': method(AddSchema, async (wish, asker) => {
      const added = await add(wish);
      const { now } = added;
      if (now.kind === 'reverse' && options.isOnline()) await portAnswered(added, options);
      const { refusal } = added;
      if (refusal !== undefined) {
        added.remove();
        throw new TunnelError(
          'ERR_OPEN_REFUSED',
          `the listener does not open ${wish.spec}: ${refusal.message}; nothing was added`,
        );
      }
      if (wish.isLent === true) {
        try {
          asker.keep(() => {
            const { now: last } = added;
            if (added.remove()) onRemoved(last);
          });
        } catch (error) {
          added.remove();
          throw error;
        }
      }
      onAdded(now);
      return { forward: added.now };
    }),
    'forward.remove': method(NamedSchema, ({ kind, spec }) => {
      const { listen, target } = parseForwardFilter(kind, spec);
      const removed = forwards.remove(kind, listen, target);
      if (removed.length === 0) {
        throw new TunnelError(
          'ERR_USAGE',
          `there is no forward ${FORWARD_FLAGS[kind]} ${spec}; forward list shows all forwards`,
        );
      }
      for (const forward of removed) onRemoved(forward);
      return { forwards: removed };
    }),
  };
}

/** Waits for the listener's answer about the port, up to {@link PORT_ANSWER_MS}. */
async function portAnswered(
  added: HeldForward,
  { forwards, timers }: Pick<ConnectorMethodsOptions, 'forwards' | 'timers'>,
): Promise<void> {
  const timer = new Timer(timers);
  let look = (): void => {};
  await new Promise<void>((resolve) => {
    look = () => {
      if (added.now.status !== 'asked') resolve();
    };
    timer.set(PORT_ANSWER_MS, resolve);
    forwards.on('change', look);
    look();
  });
  timer.clear();
  forwards.off('change', look);
}
