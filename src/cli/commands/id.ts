import { Option } from 'commander';
import type { Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { createIdentity, type Identity, toxIdOf } from '../../state/identity.js';
import {
  type IdentityPlace,
  MAX_STATE_BYTES,
  openIdentity,
  readIdentity,
  readSaved,
  stateFileOf,
} from '../../state/identity_file.js';
import { exportState, importState, writeExport } from '../../state/identity_transfer.js';
import { changePassphrase } from '../../state/passphrase_change.js';
import { type Context, defineCommand } from '../command.js';
import { output, passphrase, stateFolder } from '../options/common_options.js';
import type { OutputFlags } from '../options/flags.js';
import { passphraseOf, readPassphrase } from '../options/passphrase.js';
import { readBounded, readBoundedFile } from '../options/read_bounded.js';
import { usage } from '../options/usage.js';
import { printable } from '../output/human.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';

interface IdFlags extends OutputFlags {
  readonly state?: string;
  readonly passphraseFile?: string;
  /** A file name, or `-`. */
  readonly export?: string;
  readonly import?: string;
  readonly replace?: boolean;
  readonly newPassphraseFile?: string;
  readonly removePassphrase?: boolean;
}

export const id = defineCommand<IdFlags>({
  name: 'id',
  group: 'Access',
  summary: 'Print the Tox ID; export, import or encrypt the identity',
  stateOf: ['listen'],
  options: [
    new Option('--export <FILE>', 'write the identity, its secret key and tickets to FILE; - is stdout'),
    new Option('--import <FILE>', 'read the identity from FILE; - is stdin; overwrites no identity'),
    new Option('--replace', 'with --import: move an existing identity to a file next to it'),
    new Option('--new-passphrase-file <FILE>', 'encrypt the state files with the passphrase in FILE'),
    new Option('--remove-passphrase', 'decrypt the state files permanently'),
    stateFolder(),
    passphrase(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel id                         print the Tox ID; creates an identity if needed
  $ tox-wasm-tunnel id --state ./tunnel --json
  $ tox-wasm-tunnel id --export backup.json
  $ tox-wasm-tunnel id --import backup.json --replace
  $ tox-wasm-tunnel id --passphrase-file old.txt --new-passphrase-file new.txt

The current passphrase comes from --passphrase-file FILE or TOX_WASM_TUNNEL_PASSPHRASE.`,
  run: (context, { flags }) => runId(context, flags),
});

async function runId(context: Context, flags: IdFlags): Promise<ExitCode> {
  const { newPassphraseFile, removePassphrase = false } = flags;
  const asked = [
    flags.export !== undefined && '--export',
    flags.import !== undefined && '--import',
    newPassphraseFile !== undefined && '--new-passphrase-file',
    removePassphrase && '--remove-passphrase',
  ].filter((each) => each !== false);
  if (asked.length > 1) throw usage(`${asked.join(' and ')} cannot be combined`);
  if (flags.replace === true && flags.import === undefined) throw usage('--replace needs --import');
  const folder = flags.state ?? (await context.io.stateFolder());
  const place = { folder, role: 'listener', passphrase: await passphraseOf(flags, context.io) } as const;
  if (removePassphrase) await reseal(context, place, undefined);
  else if (newPassphraseFile !== undefined)
    await reseal(context, place, await readPassphrase(newPassphraseFile, context.io));
  else if (flags.export !== undefined) await exportTo(context, place, flags.export, flags.json === true);
  else if (flags.import !== undefined) await importFrom(context, place, flags.import, flags.replace === true);
  else await showOrCreate(context, place);
  return EXIT.ok;
}

async function showOrCreate(context: Context, place: IdentityPlace): Promise<void> {
  const saved = await readSaved(place);
  if (saved === undefined) context.reporter.people(newIdentity(place));
  show(context, place, saved?.state.identity ?? (await makeIdentity(place, context.io.timers)));
}

async function reseal(
  { io, reporter }: Context,
  { folder, passphrase }: IdentityPlace,
  to: Uint8Array | undefined,
): Promise<void> {
  const files = await changePassphrase({ folder, from: passphrase, to, timers: io.timers });
  reporter.event({ event: 'passphrase', files, isEncrypted: to !== undefined });
}

function show({ reporter }: Context, place: IdentityPlace, identity: Identity): void {
  const toxId = toxIdOf(identity);
  reporter.result(toxId);
  reporter.event({ event: 'identity', toxId, file: stateFileOf(place) });
}

async function exportTo(
  context: Context,
  place: IdentityPlace,
  file: string,
  isJson: boolean,
): Promise<void> {
  if (file === '-' && isJson) throw usage('--json prints no secrets; give --export a file name');
  const exported = await exportState(place);
  if (exported === undefined) throw usage(`${stateFileOf(place)}: there is no identity to export`);
  const { identity, text, isSealed } = exported;
  if (file === '-') {
    context.reporter.result(text.trimEnd());
    return;
  }
  await writeExport(file, text);
  show(context, place, identity);
  const care = isSealed ? 'encrypted with the passphrase' : 'NOT encrypted: keep it as safe as a password';
  context.reporter.people(`Exported to ${printable(file)}, ${care}.`);
}

async function importFrom(
  context: Context,
  place: IdentityPlace,
  file: string,
  replace: boolean,
): Promise<void> {
  const bound = { code: 'ERR_STATE_INVALID', maxBytes: MAX_STATE_BYTES } as const;
  const origin = file === '-' ? 'standard input' : file;
  const bytes = await (file === '-'
    ? readBounded(context.io.stdin, origin, bound)
    : readBoundedFile(file, bound));
  const { identity, kept } = await importState({
    ...place,
    text: bytes.toString('utf8'),
    origin,
    replace,
    timers: context.io.timers,
  });
  show(context, place, identity);
  if (kept !== undefined) context.reporter.people(`The previous identity is in ${printable(kept)}.`);
}

/** The line for people when a command creates the listener's identity. */
export function newIdentity(place: IdentityPlace): string {
  return `There is no identity yet; creating ${printable(stateFileOf(place))}.`;
}

/** Creates the listener's identity, or returns the one that another process has just created. */
export async function makeIdentity(place: IdentityPlace, timers?: Timers): Promise<Identity> {
  try {
    const opened = await openIdentity({ ...place, onBusy: 'fail', isBrief: true, timers });
    try {
      if (opened.identity !== undefined) return opened.identity;
      const identity = createIdentity();
      await opened.save(identity);
      return identity;
    } finally {
      await opened.release();
    }
  } catch (error) {
    // Another process may have created it at the same time.
    const made = isBusy(error) ? await readIdentity(place) : undefined;
    if (made === undefined) throw error;
    return made;
  }
}

const isBusy = (error: unknown): boolean => TunnelError.is(error) && error.code === 'ERR_STATE_BUSY';
