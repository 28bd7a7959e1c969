import type { OpenedIdentity } from '../../state/identity_file.js';
import type { BootstrapNodeHandle, TunnelHandle } from '../api.js';
import { printable } from '../output/human.js';
import type { Reporter } from '../output/reporter.js';

/** Keeps a service's identity, and what belongs to it, in the state file. */
export class Keeper<Handle extends TunnelHandle | BootstrapNodeHandle> {
  readonly #opened: OpenedIdentity;
  readonly #reporter: Reporter;
  readonly #save: () => Promise<void>;
  /** True when the file does not have what belongs to the identity. */
  readonly #isPart: boolean;
  #saving: Promise<void> = Promise.resolve();

  /** @param access what is kept beside the identity, if anything is; it is kept anew at each `access` event */
  constructor(
    opened: OpenedIdentity,
    handle: Handle,
    reporter: Reporter,
    access: ((handle: Handle) => unknown) | undefined,
  ) {
    this.#opened = opened;
    this.#reporter = reporter;
    this.#isPart = access !== undefined && opened.access === undefined;
    this.#save = () =>
      access === undefined ? opened.save(handle.identity) : opened.save(handle.identity, access(handle));
    if (access !== undefined) handle.on('access', () => this.#onChange());
  }

  /** Saves what the file does not have yet. */
  async saveNews(): Promise<void> {
    const { identity, isSealDue } = this.#opened;
    if (identity !== undefined && !this.#isPart && !isSealDue) return;
    await this.#save();
    if (isSealDue) this.#reporter.people('The state file was not encrypted; from now on it is.');
  }

  /** Resolves when the last change is kept; rejects when it could not be. */
  saved(): Promise<void> {
    return this.#saving;
  }

  #onChange(): void {
    this.#saving = this.#save();
    this.#saving.catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      this.#reporter.people(`A change of tickets or peers could not be saved: ${printable(why)}`);
    });
  }
}
