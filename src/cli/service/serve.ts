import { type ControlMethods, ControlServer } from '../../control/server.js';
import { withDeadline } from '../../core/aborting.js';
import { TunnelError } from '../../core/errors.js';
import { withoutSecrets } from '../../core/secret_text.js';
import { systemReason } from '../../core/system_error.js';
import type { KnownPlace } from '../../index.js';
import type { HostPort } from '../../rules/endpoint.js';
import { type Identity, toxIdOf } from '../../state/identity.js';
import { type OpenedIdentity, openIdentity, type Role } from '../../state/identity_file.js';
import { PlacesFile } from '../../state/places_file.js';
import type { Context } from '../command.js';
import { printable } from '../output/human.js';
import { showStatus } from '../output/live_status.js';
import type { Reporter } from '../output/reporter.js';
import { EXIT, EXIT_BY_SIGNAL, type ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';
import type { BootstrapNodeHandle, TunnelHandle } from '../process/library.js';
import { Lifetime, type OnHangUp } from '../process/lifetime.js';
import { Resources } from '../process/resources.js';
import type { AuditLog } from './audit_log.js';
import type { PeerWait } from './peer_wait.js';
import { type Reload, Reloads } from './reload.js';
import { reportEvents } from './report_events.js';

/** A long-running command, as {@link serve} runs it. */
export interface Service<Handle extends TunnelHandle | BootstrapNodeHandle> {
  readonly role: Role;
  /** Undefined: the identity lasts for this run only. */
  readonly stateFolder: string | undefined;
  /** Passphrase of the state file; undefined: the file is not encrypted. */
  readonly passphrase: Uint8Array | undefined;
  /**
   * What happens when another process of this role uses the folder: fail, or use an identity for this run
   * only.
   */
  readonly onBusy: 'fail' | 'ephemeral';
  /**
   * Starts the Tox node.
   *
   * @param access what {@link access} returned in an earlier run
   * @param places where peers were last reached in earlier runs with this identity
   */
  start(
    identity: Identity | undefined,
    signal: AbortSignal,
    access: unknown,
    places: readonly KnownPlace[],
  ): Promise<Handle>;
  /**
   * Returns the state to save with the identity: plain JSON, perhaps secret. Called on every `access`
   * event.
   */
  access?(handle: Handle): unknown;
  /** Called once, when the Tox node runs. @param saved waits until changes are saved */
  begin(handle: Handle, saved: () => Promise<void>): Activity;
  /** Leaves the ticket out of everything that is printed. Default false. */
  readonly hidesTicket?: boolean;
  /** Closed when the command ends, after its Tox node. */
  readonly audit?: AuditLog | undefined;
  /** Shows that the command waits for its peer. @param isOnce only until the peer is online */
  await?(handle: Handle, isOnce: boolean): PeerWait;
  /** Where to serve the metrics. Default: no metrics. */
  readonly metrics?: HostPort | undefined;
  /** SIGHUP stops the command even without a terminal, since it belongs to another program. Default false. */
  readonly endsOnHangUp?: boolean;
  /** The command runs a program: being stopped before it starts is a failure. Default false. */
  readonly runsProgram?: boolean;
}

/** What a command does while its Tox node runs. */
export interface Activity {
  /** Methods that other processes may call through the control socket. Default: no control socket. */
  readonly control?: ControlMethods;
  /** Applies the configuration as it is now. Default: SIGHUP changes only what is printed. */
  readonly reload?: Reload;
  /** Prepares the command. It may end the command through `lifetime`, or throw. */
  up(lifetime: Lifetime): Promise<void>;
  /**
   * Runs a program after {@link up}, unless the end came first. It ends `lifetime` and returns the exit code.
   */
  run?(lifetime: Lifetime): Promise<ExitCode>;
}

/** How long a graceful end may take, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000;

/** Runs a service until something ends it, and releases all that it acquired. */
export async function serve<Handle extends TunnelHandle | BootstrapNodeHandle>(
  context: Context,
  service: Service<Handle>,
): Promise<ExitCode> {
  const { io, reporter } = context;
  const resources = new Resources();
  const startedMs = io.timers.nowMs();
  let outcome: Outcome;
  try {
    outcome = await runToEnd(context, service, resources);
  } catch (error) {
    // Report this error. An error during the release would only be its consequence.
    await resources.release().catch(() => {});
    throw error;
  }
  const { handle, exitCode, isProgramResult } = outcome;
  await resources.release().catch((error: unknown) => {
    if (!isProgramResult) throw error;
    complain(reporter, error);
  });
  if (handle !== undefined && 'stats' in handle) {
    const { bytesIn, bytesOut } = handle.stats();
    const durationMs = Math.round(io.timers.nowMs() - startedMs);
    reporter.event({ event: 'closed', durationMs, bytesIn, bytesOut });
  }
  return exitCode;
}

interface Outcome {
  /** Undefined when the command ended before its Tox node ran. */
  readonly handle?: TunnelHandle | BootstrapNodeHandle;
  readonly exitCode: ExitCode;
  /** The exit code is that of a program, which has reported its own result. */
  readonly isProgramResult: boolean;
}

/** @param resources gets everything that is acquired */
async function runToEnd<Handle extends TunnelHandle | BootstrapNodeHandle>(
  context: Context,
  service: Service<Handle>,
  resources: Resources,
): Promise<Outcome> {
  const { io, reporter } = context;
  const { audit } = service;
  if (audit !== undefined) resources.push(() => audit.close());
  let reloads: Reloads | undefined;
  const lifetime = new Lifetime(
    io,
    onHangUp(context, service, () => reloads),
  );
  resources.push(() => lifetime.dispose());
  context.onOutputLost(() => lifetime.stop());

  // A signal ends the wait for another process, or for a slow disk.
  const opened = await lifetime.orOver(openRole(service, context), (late) => {
    void late?.release().catch(() => {});
  });
  if (opened !== undefined)
    resources.push(() => opened.release().catch((error: unknown) => complain(reporter, error)));
  if (isOver(lifetime)) return { exitCode: stoppedCode(service, lifetime), isProgramResult: false };

  const places = await openPlaces(service, opened, reporter);
  const handle = await lifetime.orOver(
    service.start(opened?.identity, lifetime.signal, opened?.access, places?.saved ?? []),
    (late) => {
      void late.close().catch(() => {});
    },
  );
  if (handle === undefined) return { exitCode: stoppedCode(service, lifetime), isProgramResult: false };
  resources.push(() => closeInTime(io, handle));
  reportEvents(handle, context, lifetime, service.hidesTicket);
  audit?.record({ audit: 'started', toxId: toxIdOf(handle.identity) });

  // Save a new identity only after a successful start.
  const keeper = opened && new Keeper(opened, handle, reporter, service.access);
  await keeper?.saveNews();
  if (places !== undefined && 'node' in handle) {
    const { node } = handle;
    resources.push(() => places.settled());
    node.on('places', () => places.save(handle.identity, node.places));
  }

  const activity = service.begin(handle, () => keeper?.saved() ?? Promise.resolve());
  const control = await openControl(context, service, activity.control);
  if (control !== undefined) resources.push(() => control.close());

  if ('stats' in handle && service.metrics !== undefined) {
    const { serveMetrics } = await import('./metrics.js');
    resources.push(await serveMetrics(service.metrics, handle, reporter, io.timers));
  }

  const { endsOnHangUp = false } = service;
  const wait = service.await?.(handle, endsOnHangUp);
  if (wait !== undefined) resources.push(() => wait.stop());

  await lifetime.orOver(activity.up(lifetime));
  reloads = new Reloads(context, audit, activity.reload);
  if ('stats' in handle && reporter.isLive && !endsOnHangUp)
    resources.push(
      showStatus(handle, io.timers, (text) => {
        if (wait?.isWaiting !== true) reporter.status(text);
      }),
    );

  const code = lifetime.signal.aborted ? undefined : await activity.run?.(lifetime);
  await lifetime.over();
  return {
    handle,
    exitCode: code ?? stoppedCode(service, lifetime),
    isProgramResult: code !== undefined,
  };
}

/** A function, because TypeScript assumes that a property keeps its value across an `await`. */
const isOver = ({ signal }: Lifetime): boolean => signal.aborted;

/**
 * A terminal that closes ends the command. Without a terminal, or under nohup, nothing has closed: SIGHUP then asks the
 * command to read its configuration again.
 *
 * @param reload undefined while the command starts, and reads its configuration for the first time
 */
function onHangUp(
  { io, reporter }: Context,
  { endsOnHangUp = false }: Pick<Service<never>, 'endsOnHangUp'>,
  reload: () => Reloads | undefined,
): OnHangUp {
  if (endsOnHangUp || io.hasTerminal) return 'end';
  return () => {
    const reloads = reload();
    if (reloads !== undefined) reloads.request();
    else reporter.logger.log('info', 'SIGHUP has no effect before the start is complete');
  };
}

/** The exit code of a command that was stopped. */
function stoppedCode(
  { runsProgram = false }: Pick<Service<never>, 'runsProgram'>,
  { endedBy }: Lifetime,
): ExitCode {
  if (!runsProgram) return EXIT.ok;
  return endedBy === undefined ? EXIT.failure : EXIT_BY_SIGNAL[endedBy];
}

async function openRole(
  {
    role,
    stateFolder,
    passphrase,
    onBusy,
  }: Pick<Service<never>, 'role' | 'stateFolder' | 'passphrase' | 'onBusy'>,
  { io, reporter }: Context,
): Promise<OpenedIdentity | undefined> {
  if (stateFolder === undefined) return undefined;
  const opened = await openIdentity({
    folder: stateFolder,
    role,
    passphrase,
    onBusy,
    advisesEphemeral: true,
    timers: io.timers,
  });
  if (opened.ephemeral) {
    reporter.notice(
      `Another ${role} uses the identity in ${printable(stateFolder)}, so this run is a new peer with a temporary one: a listener that knows this machine by its key (--allow-peer) does not let it in. tox-wasm-tunnel status shows what is running.`,
    );
  }
  return opened;
}

/**
 * Opens the file with the places of peers. Returns undefined without a state folder, and when another process uses
 * the identity.
 */
async function openPlaces(
  { role, stateFolder }: Pick<Service<never>, 'role' | 'stateFolder'>,
  opened: OpenedIdentity | undefined,
  reporter: Reporter,
): Promise<PlacesFile | undefined> {
  if (stateFolder === undefined || opened === undefined || opened.ephemeral || role === 'node')
    return undefined;
  return PlacesFile.open({ folder: stateFolder, role, logger: reporter.logger }, opened.identity);
}

/**
 * Returns undefined without a control socket. A failure to open one is reported, but does not stop the
 * service.
 */
async function openControl(
  { io, reporter }: Context,
  { role, stateFolder }: Pick<Service<never>, 'role' | 'stateFolder'>,
  methods: ControlMethods | undefined,
): Promise<ControlServer | undefined> {
  if (stateFolder === undefined || methods === undefined) return undefined;
  try {
    return await ControlServer.start({
      folder: stateFolder,
      door: role === 'connector' ? io.pid : 'listener',
      methods,
      timers: io.timers,
      logger: reporter.logger,
    });
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    reporter.people(
      `Other commands cannot control this ${role}: ${printable(withoutSecrets(error.message))}`,
    );
    return undefined;
  }
}

/** Keeps a service's identity, and the access state with it, in the state file. */
class Keeper<Handle extends TunnelHandle | BootstrapNodeHandle> {
  readonly #opened: OpenedIdentity;
  readonly #reporter: Reporter;
  readonly #save: () => Promise<void>;
  /** True when the file lacks the access state. */
  readonly #isIncomplete: boolean;
  #saving: Promise<void> = Promise.resolve();

  /**
   * @param access returns the access state, which is saved on every `access` event; undefined when there is
   *   none
   */
  constructor(
    opened: OpenedIdentity,
    handle: Handle,
    reporter: Reporter,
    access: ((handle: Handle) => unknown) | undefined,
  ) {
    this.#opened = opened;
    this.#reporter = reporter;
    this.#isIncomplete = access !== undefined && opened.access === undefined;
    this.#save = () =>
      access === undefined ? opened.save(handle.identity) : opened.save(handle.identity, access(handle));
    if (access !== undefined && 'node' in handle) handle.on('access', () => this.#onChange());
  }

  /** Saves what the file does not have yet. */
  async saveNews(): Promise<void> {
    if (this.#opened.identity !== undefined && !this.#isIncomplete) return;
    await this.#save();
  }

  /** Resolves when the last change is saved; rejects when it could not be saved. */
  saved(): Promise<void> {
    return this.#saving;
  }

  #onChange(): void {
    this.#saving = this.#save();
    this.#saving.catch((error: unknown) => {
      const why = systemReason(error);
      this.#reporter.people(`Cannot save the change to tickets or peers: ${printable(why)}`);
    });
  }
}

async function closeInTime({ timers }: CliIo, handle: TunnelHandle | BootstrapNodeHandle): Promise<void> {
  const error = () =>
    new TunnelError('ERR_LIMIT', `the tunnel did not close within ${CLOSE_TIMEOUT_MS / 1000} s`);
  await withDeadline(handle.close(), { timeout: { ms: CLOSE_TIMEOUT_MS, timers, error } });
}

function complain(reporter: Reporter, error: unknown): void {
  reporter.logger.log('warn', error instanceof Error ? error.message : String(error));
}
