import { Option } from 'commander';
import * as v from 'valibot';
import { callDoor } from '../../control/client.js';
import { liveDoors } from '../../control/doors.js';
import { TunnelError } from '../../core/errors.js';
import { parseLocalSpec, parseReverseSpec, parseUdpSpec } from '../../rules/forward_spec.js';
import { type Context, defineCommand } from '../command.js';
import { actionOf } from '../options/action.js';
import { credentials, forwards as forwardOptions, output, stateFolder } from '../options/common_options.js';
import type { OutputFlags } from '../options/flags.js';
import { expectDistinct, localPlaces } from '../options/local_ports.js';
import { readValue } from '../options/named_value.js';
import { type DynamicFlags, dynamicForwardsOf } from '../options/proxies.js';
import { usage } from '../options/usage.js';
import type { ForwardKind } from '../output/events.js';
import {
  FORWARD_FLAGS,
  forwardRow,
  parseForwardFilter,
  printForward,
  RunningForwardSchema,
} from '../output/forward_text.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';

interface ForwardFlags extends OutputFlags, DynamicFlags {
  readonly state?: string;
  /** Arguments of `-L`. */
  readonly local?: readonly string[];
  /** Arguments of `-R`. */
  readonly reverse?: readonly string[];
  readonly udpForward?: readonly string[];
  readonly pid?: string;
}

export const forward = defineCommand<ForwardFlags>({
  name: 'forward',
  group: 'Running',
  summary: 'List, add or remove forwards of a running connector',
  stateOf: ['connect'],
  arguments: { '[ACTION]': 'list, add or remove; rm is short for remove' },
  options: [
    ...forwardOptions(),
    ...credentials(),
    new Option('--pid <N>', 'process ID of the connector, when several run'),
    stateFolder(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel forward list
  $ tox-wasm-tunnel forward add -L 8080:localhost:80 -D 1080
  $ tox-wasm-tunnel forward add -L 0:db.lan:5432 --pid 4711         (when several connectors run)
  $ tox-wasm-tunnel forward add -R 8080:localhost:80
  $ tox-wasm-tunnel forward remove -L 8080                          (open connections continue)`,
  run: (context, { words: [action], flags }) => runForward(context, action, flags),
});

const AddedSchema = v.object({ forward: RunningForwardSchema });
const ForwardsSchema = v.object({ forwards: v.array(RunningForwardSchema) });

async function runForward(
  { io, reporter }: Context,
  word: string | undefined,
  flags: ForwardFlags,
): Promise<ExitCode> {
  const action = actionOf('forward', ['list', 'add', 'remove'], word);
  const named = namedIn(flags);
  const pid = pidOf(flags.pid);
  if (action === 'list' && named.length > 0)
    throw usage('forward list takes no forwards; forward add and forward remove do');
  if (action !== 'list' && named.length === 0)
    throw usage(
      `forward ${action} needs a forward: -L 8080:localhost:80, -D 1080, -R 8080:localhost:80 or --udp-forward 5353:localhost:53`,
    );
  const proxyCredentials = await check(io, action, named, flags);
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
      const secret =
        kind === 'dynamic' && proxyCredentials !== undefined ? { credentials: proxyCredentials } : {};
      const { forward: added } = v.parse(AddedSchema, await ask('forward.add', { kind, spec, ...secret }));
      reporter.event({ event: 'forwards', pid: door, forwards: [added] });
      reporter.result(forwardRow(added));
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

/** Rejects invalid arguments before anything changes. @returns the credentials for clients of `-D` */
async function check(
  io: CliIo,
  action: 'list' | 'add' | 'remove',
  named: readonly Named[],
  flags: ForwardFlags,
) {
  if (action === 'add') {
    for (const { kind, spec } of named) {
      if (kind === 'local') readValue('-L', spec, parseLocalSpec);
      else if (kind === 'reverse') readValue('-R', spec, parseReverseSpec);
      else if (kind === 'udp') readValue('--udp-forward', spec, parseUdpSpec);
    }
    expectDistinct(localPlaces(flags));
    const [proxy] = await dynamicForwardsOf(flags, io);
    return proxy?.credentials;
  }
  if (flags.socksUser !== undefined || flags.socksPasswordFile !== undefined)
    throw usage('--socks-user and --socks-password-file are only for forward add');
  for (const { kind, spec } of named)
    readValue(FORWARD_FLAGS[kind], spec, (text) => parseForwardFilter(kind, text));
  return undefined;
}

function pidOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,9}$/.test(text))
    throw usage(`--pid ${JSON.stringify(text)} is not a process ID, for example 4711; status shows it`);
  return Number(text);
}

/** Returns the process ID of the connector. @throws {TunnelError} ERR_CONTROL, ERR_USAGE */
async function connectorIn(folder: string, pid: number | undefined): Promise<number> {
  const pids = (await liveDoors(folder)).filter((door) => door !== 'listener');
  const [first, second] = pids;
  if (first === undefined) {
    throw new TunnelError(
      'ERR_CONTROL',
      `no connector is running with the state folder ${folder}; use --state to name the folder of the connector. Connectors with --ephemeral cannot be asked`,
    );
  }
  const all = pids.join(', ');
  if (pid !== undefined && !pids.includes(pid))
    throw usage(`no connector ${pid} is running with the state folder ${folder}; running: ${all}`);
  if (pid === undefined && second !== undefined)
    throw usage(
      `several connectors are running: ${all}; choose one with --pid, and see status for what each does`,
    );
  return pid ?? first;
}
