import type { ControlMethods } from '../../control/server.js';
import { ControlServer } from '../../control/server.js';
import { tenths } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { RETURN_CODES, type ReturnCode } from '../../core/return_codes.js';
import type { Identity } from '../../state/identity.js';
import type { Role } from '../../state/identity_file.js';
import { openIdentity } from '../../state/identity_file.js';
import type { BootstrapNodeHandle, ListenerHandle, TunnelHandle } from '../api.js';
import type { CliEvent } from '../output/events.js';
import { printable } from '../output/human.js';
import { showStatus } from '../output/live_status.js';
import type { Reporter } from '../output/reporter.js';
import { EXIT, EXIT_BY_SIGNAL, type ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';
import { Lifetime } from '../process/lifetime.js';
import { Keeper } from './keeper.js';

/** What every command is given. */
export interface Context {
  readonly io: CliIo;
  readonly reporter: Reporter;
  /** Calls back once our output leads nowhere any more; where that is a failure, our caller tells it at the end. */
  onOutputLost(handler: () => void): void;
}

/** A long-running command, in the parts that differ. */
export interface Service<Handle extends TunnelHandle | BootstrapNodeHandle> {
  readonly role: Role;
  /** Undefined: an identity for this run alone. */
  readonly stateFolder: string | undefined;
  /** Of the state file; undefined: it is not encrypted. */
  readonly passphrase: Uint8Array | undefined;
  /** A second process of the same role and folder: refuse, or give it an identity of its own. */
  readonly onBusy: 'fail' | 'ephemeral';
  /** @param access what {@link access} gave in an earlier run */
  start(identity: Identity | undefined, signal: AbortSignal, access: unknown): Promise<Handle>;
  /** What is to be kept beside the identity, plain JSON; it may hold secrets. Asked at each `access` event. */
  access?(handle: Handle): unknown;
  /** What other processes may ask of it while it runs, by the state folder's control socket. @param saved waits until changes are kept */
  control?(handle: Handle, saved: () => Promise<void>): ControlMethods;
  /** Called once it runs; throws when that is of no use. It may end the command by `lifetime`. */
  up(handle: Handle, lifetime: Lifetime): Promise<void>;
  /**
   * What the service is there for, if anything: called after {@link up} unless the end has come, and waited for. It
   * heeds `lifetime`, ends it by itself, and gives the command's exit code.
   */
  run?(handle: Handle, lifetime: Lifetime): Promise<ExitCode>;
  /** Where to serve metrics, `[bind:]port`. Default: nowhere. */
  readonly metrics?: string | undefined;
  /** SIGHUP is a polite end. Default false. */
  readonly endsOnHangUp?: boolean;
}

/** How long a polite end may take, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000;

/** Runs a service from the opening of its identity to its end, however that comes. */
export async function serve<Handle extends TunnelHandle | BootstrapNodeHandle>(
  context: Context,
  service: Service<Handle>,
): Promise<ExitCode> {
  const { io, reporter } = context;
  const lifetime = new Lifetime(io, service.endsOnHangUp);
  context.onOutputLost(() => lifetime.stop());
  let release = async (): Promise<void> => {};
  const startedMs = io.timers.nowMs();
  try {
    const opened = await openRole(service, reporter);
    if (opened !== undefined) release = () => opened.release();
    const handle = await lifetime.orOver(
      service.start(opened?.identity, lifetime.signal, opened?.access),
      (late) => {
        void late.close().catch(() => {});
      },
    );
    if (handle === undefined) return unrunCode(service, lifetime);
    let code: ExitCode | undefined;
    let control: ControlServer | undefined;
    let endMetrics = (): void => {};
    let endStatus = (): void => {};
    try {
      watch(handle, context, lifetime);
      // Only what has started is worth keeping.
      const keeper = opened && new Keeper(opened, handle, reporter, service.access);
      await keeper?.saveNews();
      control = await openControl(context, service, handle, () => keeper?.saved() ?? Promise.resolve());
      if ('stats' in handle && service.metrics !== undefined) {
        endMetrics = await (await import('./metrics.js')).serveMetrics(service.metrics, handle, reporter);
      }
      await lifetime.orOver(service.up(handle, lifetime));
      if ('stats' in handle && reporter.isLive && service.run === undefined)
        endStatus = showStatus(handle, io.timers, (text) => reporter.status(text));
      if (!lifetime.signal.aborted) code = await service.run?.(handle, lifetime);
      await lifetime.over();
    } catch (error) {
      // This error is what is told; one of the closing would only follow from it.
      await closeInTime(io, handle).catch(() => {});
      throw error;
    } finally {
      endStatus();
      endMetrics();
      await control?.close();
    }
    await closeInTime(io, handle).catch((error: unknown) => {
      if (code === undefined) throw error;
      // What was run has told how it went.
      complain(reporter, error);
    });
    if ('stats' in handle) reporter.event(closedEvent(handle, io.timers.nowMs() - startedMs));
    return code ?? unrunCode(service, lifetime);
  } finally {
    lifetime.dispose();
    await release().catch((error: unknown) => complain(reporter, error));
  }
}

/** Of a command that was stopped: that is a success, unless there was something to run. */
function unrunCode({ run }: Pick<Service<never>, 'run'>, { endedBy }: Lifetime): ExitCode {
  if (run === undefined) return EXIT.ok;
  return endedBy === undefined ? EXIT.failure : EXIT_BY_SIGNAL[endedBy];
}

async function openRole(
  {
    role,
    stateFolder,
    passphrase,
    onBusy,
  }: Pick<Service<never>, 'role' | 'stateFolder' | 'passphrase' | 'onBusy'>,
  reporter: Reporter,
) {
  if (stateFolder === undefined) return undefined;
  const opened = await openIdentity({ folder: stateFolder, role, passphrase, onBusy });
  if (opened.ephemeral) {
    reporter.logger.log(
      'info',
      `another ${role} uses the identity in ${stateFolder}: this run has one of its own`,
    );
  }
  return opened;
}

/** Undefined when it has none; one that cannot be opened is told, and does not keep the service from running. */
async function openControl<Handle extends TunnelHandle | BootstrapNodeHandle>(
  { io, reporter }: Context,
  { role, stateFolder, control }: Service<Handle>,
  handle: Handle,
  saved: () => Promise<void>,
): Promise<ControlServer | undefined> {
  if (stateFolder === undefined || control === undefined) return undefined;
  try {
    return await ControlServer.start({
      folder: stateFolder,
      door: role === 'connector' ? io.pid : 'listener',
      methods: control(handle, saved),
      timers: io.timers,
      logger: reporter.logger,
    });
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    reporter.people(`Commands to this running ${role} will not reach it: ${printable(error.message)}`);
    return undefined;
  }
}

function watch(
  handle: TunnelHandle | ListenerHandle | BootstrapNodeHandle,
  { io, reporter }: Context,
  lifetime: Lifetime,
): void {
  const onlineSinceMs = new Map<string, number>();
  handle.on('error', (error) => lifetime.fail(error));
  handle.on('ready', ({ toxId }) => {
    const ticket = 'ticket' in handle ? { ticket: handle.ticket } : {};
    reporter.event({ event: 'ready', toxId, ...ticket });
  });
  handle.on('waiting', ({ message }) => reporter.event({ event: 'waiting', message }));
  handle.on('code', ({ code, peer, detail }) => {
    const event = codeEvent(code, peer, detail);
    if (event !== undefined) reporter.event(event);
  });
  handle.on('peer', ({ status, path, code, publicKey, roundTripMs }) => {
    // That we leave our peers is no news of them.
    if (lifetime.signal.aborted) return;
    const since = onlineSinceMs.get(publicKey);
    const nowMs = io.timers.nowMs();
    if (status === 'offline') onlineSinceMs.delete(publicKey);
    else if (since === undefined) onlineSinceMs.set(publicKey, nowMs);
    const online = status === 'offline' && since !== undefined ? { onlineMs: Math.round(nowMs - since) } : {};
    const measured = roundTripMs === undefined ? {} : { roundTripMs: tenths(roundTripMs) };
    reporter.event({ event: 'peer', status, path, code, peer: publicKey, ...measured, ...online });
  });
  handle.on('reverse', (change) => {
    // That our ports close with us is no news.
    if (!lifetime.signal.aborted) reporter.event({ event: 'reverse', ...change });
  });
  handle.on('refused', ({ target, reason, text, peer }) => {
    reporter.event({ event: 'refused', target, reason, message: text, peer });
  });
}

/** A return code as an event; the status codes come with more to tell as `peer` events. */
function codeEvent(
  code: ReturnCode,
  peer: string | undefined,
  detail: string | undefined,
): CliEvent | undefined {
  if (code === 301 || code === 302) return undefined;
  const message = detail === undefined ? RETURN_CODES[code] : `${RETURN_CODES[code]}: ${detail}`;
  const named = peer === undefined ? {} : { peer };
  return { event: code < 200 ? 'friend' : 'message', code, message, ...named };
}

async function closeInTime(io: CliIo, handle: TunnelHandle | BootstrapNodeHandle): Promise<void> {
  let timer: unknown;
  const late = new Promise<never>((_resolve, reject) => {
    timer = io.timers.set(() => {
      reject(new TunnelError('ERR_LIMIT', `closing did not end within ${CLOSE_TIMEOUT_MS / 1000} s`));
    }, CLOSE_TIMEOUT_MS);
  });
  try {
    await Promise.race([handle.close(), late]);
  } finally {
    io.timers.clear(timer);
  }
}

function closedEvent(handle: TunnelHandle, durationMs: number): CliEvent {
  const { bytesIn, bytesOut } = handle.stats();
  return { event: 'closed', durationMs: Math.round(durationMs), bytesIn, bytesOut };
}

function complain(reporter: Reporter, error: unknown): void {
  reporter.logger.log('warn', error instanceof Error ? error.message : String(error));
}
