import { detailOf, TunnelError } from '../../core/errors.js';
import type { Call, Context } from '../command.js';
import { type OutputFlags, verbosityOf } from '../options/flags.js';
import { printable } from '../output/human.js';
import type { AuditLog } from './audit_log.js';

/** Reads a command's configuration again on SIGHUP. A mistake in a file leaves everything as it was. */
export class Reloads {
  readonly #context: Context;
  readonly #audit: AuditLog | undefined;
  readonly #apply: Reload | undefined;
  #running = false;
  #isAsked = false;

  /** @param apply undefined when the command can change nothing but what it prints */
  constructor(context: Context, audit: AuditLog | undefined, apply: Reload | undefined) {
    this.#context = context;
    this.#audit = audit;
    this.#apply = apply;
  }

  /** Starts a reload; if one is running, another follows it. Never throws. */
  request(): void {
    this.#isAsked = true;
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#isAsked) {
      this.#isAsked = false;
      await this.#once();
    }
    this.#running = false;
  }

  async #once(): Promise<void> {
    const { reporter, readAgain } = this.#context;
    await this.#audit?.reopen();
    try {
      const call = await readAgain();
      const verbosity = verbosityOf(call.flags);
      const { changes = [], restart = [] } = (await this.#apply?.(call)) ?? {};
      reporter.setVerbosity(verbosity);
      const message = changes.length === 0 ? 'no rule and no forward has changed' : changes.join('; ');
      reporter.event({ event: 'reloaded', ok: true, message, restart });
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      const message = detailOf(error);
      reporter.event({ event: 'reloaded', ok: false, message, restart: [] });
      reporter.logger.log('error', `not reloaded, and nothing has changed: ${printable(message)}`);
    }
  }
}

/** What a reload did. */
export interface Reloaded {
  /** For people. */
  readonly changes?: readonly string[];
  /** Options that have changed, but are not applied. */
  readonly restart?: readonly string[];
}

/**
 * Applies a call that was read again.
 *
 * @throws {TunnelError} before it has changed anything
 */
export type Reload = (call: Call<OutputFlags>) => Promise<Reloaded>;

/** Options that apply to output, which every reload applies. */
const ALWAYS_APPLIED = ['verbose', 'quiet'];

/**
 * Returns the options that differ, as `--config` spells them.
 *
 * @param before by attribute name
 * @param applied attribute names of options that the reload applies
 */
export function needRestart(before: object, after: object, applied: readonly string[]): string[] {
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  const names = new Set([...old.keys(), ...now.keys()]);
  return [...names]
    .filter((name) => ![...ALWAYS_APPLIED, ...applied].includes(name))
    .filter((name) => JSON.stringify(old.get(name)) !== JSON.stringify(now.get(name)))
    .map(optionName);
}

function optionName(attribute: string): string {
  const dashed = attribute.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return ['lan', 'udp'].includes(attribute) ? `no-${dashed}` : dashed;
}
