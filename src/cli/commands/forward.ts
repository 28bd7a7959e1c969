import * as v from 'valibot';
import { callDoor } from '../../control/client.js';
import { liveDoors } from '../../control/doors.js';
import { TunnelError } from '../../core/errors.js';
import { parseLocalSpec, parseReverseSpec, parseUdpSpec } from '../../rules/forward_spec.js';
import { usage } from '../options/flags.js';
import { type ProxyFlags, proxiesOf } from '../options/proxy_flags.js';
import { forwardRow, parseWhich, printForward, RunningForwardSchema } from '../output/forward_text.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { ForwardKind } from '../service/running_forwards.js';
import type { Context } from '../service/serve.js';
import type { AskFlags } from './ask.js';

export interface ForwardFlags extends AskFlags, ProxyFlags {
  /** Arguments of `-L`. */
  readonly local?: readonly string[];
  /** Arguments of `-R`. */
  readonly reverse?: readonly string[];
  readonly udpForward?: readonly string[];
  readonly pid?: string;
}

const AddedSchema = v.object({ forward: RunningForwardSchema });
const ForwardsSchema = v.object({ forwards: v.array(RunningForwardSchema) });

/** Lists and changes the forwards of a running connector. */
export async function forwardCommand(
  { io, reporter }: Context,
  action: string,
  flags: ForwardFlags,
): Promise<ExitCode> {
  const named = namedIn(flags);
  const pid = pidOf(flags.pid);
  if (action === 'list' && named.length > 0) throw usage('forward list takes no forwards');
  if (action !== 'list' && action !== 'add' && action !== 'rm') {
    throw usage(`forward ${JSON.stringify(action)} is not known; there are list, add and rm`);
  }
  if (action !== 'list' && named.length === 0)
    throw usage(
      `forward ${action} needs a forward: -L 8080:localhost:80, -D 1080, -R 8080:localhost:80 or --udp-forward 5353:localhost:53`,
    );
  const credentials = await check(action, named, flags);
  const folder = flags.state ?? (await io.stateFolder());
  const door = await connectorIn(folder, pid);
  const ask = (method: string, params: unknown): Promise<unknown> =>
    callDoor({ folder, door }, method, params, io.timers);
  if (action === 'list') {
    const { forwards } = v.parse(ForwardsSchema, await ask('forward.list', {}));
    reporter.event({ event: 'forwards', pid: door, forwards });
    reporter.result(forwards.length === 0 ? 'there are no forwards' : forwards.map(forwardRow).join('\n'));
    return EXIT.ok;
  }
  for (const { kind, spec } of named) {
    if (action === 'add') {
      const secret = kind === 'dynamic' && credentials !== undefined ? { credentials } : {};
      const { forward } = v.parse(AddedSchema, await ask('forward.add', { kind, spec, ...secret }));
      reporter.event({ event: 'forwards', pid: door, forwards: [forward] });
      reporter.result(forwardRow(forward));
    } else {
      const { forwards } = v.parse(ForwardsSchema, await ask('forward.remove', { kind, spec }));
      reporter.event({ event: 'changed', what: 'forward.rm', items: forwards.map(printForward) });
    }
  }
  return EXIT.ok;
}

interface Named {
  readonly kind: ForwardKind;
  readonly spec: string;
}

function namedIn({ local = [], dynamic = [], reverse = [], udpForward = [] }: ForwardFlags): Named[] {
  const of = (kind: ForwardKind, specs: readonly string[]): Named[] => specs.map((spec) => ({ kind, spec }));
  return [
    ...of('local', local),
    ...of('dynamic', dynamic),
    ...of('reverse', reverse),
    ...of('udp', udpForward),
  ];
}

/** Refuses what is wrong by itself before anything is changed. @returns what clients of `-D` must name */
async function check(action: 'list' | 'add' | 'rm', named: readonly Named[], flags: ForwardFlags) {
  if (action === 'add') {
    for (const { kind, spec } of named) {
      if (kind === 'local') parseLocalSpec(spec);
      else if (kind === 'reverse') parseReverseSpec(spec);
      else if (kind === 'udp') parseUdpSpec(spec);
    }
    const [proxy] = await proxiesOf(flags);
    return proxy?.credentials;
  }
  if (flags.socksUser !== undefined || flags.socksPasswordFile !== undefined)
    throw usage('--socks-user and --socks-password-file are for a proxy that is added');
  for (const { kind, spec } of named) parseWhich(kind, spec);
  return undefined;
}

function pidOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,9}$/.test(text))
    throw usage(`--pid ${JSON.stringify(text)} is no number of a process; status tells it`);
  return Number(text);
}

/** The connector that is meant. @throws {TunnelError} ERR_CONTROL, ERR_USAGE */
async function connectorIn(folder: string, pid: number | undefined): Promise<number> {
  const pids = (await liveDoors(folder)).filter((door) => door !== 'listener');
  const [first, second] = pids;
  if (first === undefined) {
    throw new TunnelError(
      'ERR_CONTROL',
      `no connector runs with the state folder ${folder}; name that of the one you mean with --state. One with --ephemeral cannot be asked`,
    );
  }
  const all = pids.join(', ');
  if (pid !== undefined && !pids.includes(pid))
    throw usage(`no connector ${pid} runs with the state folder ${folder}; there are: ${all}`);
  if (pid === undefined && second !== undefined)
    throw usage(`several connectors run: ${all}; choose one with --pid, status shows what each does`);
  return pid ?? first;
}
