import { join } from 'node:path';
import { TunnelError } from '../../core/errors.js';
import { createIdentity, type Identity, toxIdOf } from '../../node/identity.js';
import { openIdentity, readIdentity } from '../../node/identity_file.js';
import { EXIT, type ExitCode } from '../exit_codes.js';
import type { OutputFlags } from '../flags.js';
import type { Context } from '../serve.js';

export interface IdFlags extends OutputFlags {
  readonly state?: string;
}

/** Prints the Tox ID of the listener's identity, while it runs or not; makes one when there is none. */
export async function idCommand({ io, reporter }: Context, flags: IdFlags): Promise<ExitCode> {
  const folder = flags.state ?? (await io.stateFolder());
  const identity = (await readIdentity({ folder, role: 'listener' })) ?? (await makeIdentity(folder));
  const toxId = toxIdOf(identity);
  reporter.result(toxId);
  reporter.event({ event: 'identity', toxId, file: join(folder, 'listener.json') });
  return EXIT.ok;
}

/** Makes the listener's identity; when somebody else has made one since, gives that one. */
export async function makeIdentity(folder: string): Promise<Identity> {
  try {
    const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
    try {
      if (opened.identity !== undefined) return opened.identity;
      const identity = createIdentity();
      await opened.save(identity);
      return identity;
    } finally {
      await opened.release();
    }
  } catch (error) {
    // Somebody was making it in this very moment.
    const made = isBusy(error) ? await readIdentity({ folder, role: 'listener' }) : undefined;
    if (made === undefined) throw error;
    return made;
  }
}

const isBusy = (error: unknown): boolean => TunnelError.is(error) && error.code === 'ERR_STATE_BUSY';
