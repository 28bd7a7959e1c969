import * as v from 'valibot';
import { callDoor, type DoorAddress } from '../../control/client.js';
import { liveDoors } from '../../control/doors.js';
import { TunnelError } from '../../core/errors.js';
import { type Context, defineCommand } from '../command.js';
import { output, stateFolder } from '../options/common_options.js';
import type { OutputFlags } from '../options/flags.js';
import { forwardRow } from '../output/forward_text.js';
import { humanBytes, humanDuration } from '../output/human.js';
import { isJoined, peerRow } from '../output/peer_rows.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import { type Status, StatusSchema } from '../service/status_method.js';

interface StatusFlags extends OutputFlags {
  readonly state?: string;
  /** The folders that a configuration names, in place of {@link state}; undefined stands for the platform's. */
  readonly stateFolders?: ReadonlyArray<string | undefined>;
}

export const status = defineCommand<StatusFlags>({
  name: 'status',
  group: 'Running',
  summary: 'Show the listener and connectors that run on this machine',
  stateOf: ['listen', 'connect'],
  options: [stateFolder(), ...output()],
  help: `
Examples:
  $ tox-wasm-tunnel status                     show all processes that use the state folder
  $ tox-wasm-tunnel status --json

Exit codes:
  0    all processes are joined to the network, and the listeners of all connectors are online
  1    nothing runs, or a process does not answer
  3    a process is not joined to the network
  204  a connector's listener is not online`,
  run: (context, { flags }) => runStatus(context, flags),
});

async function runStatus({ io, reporter }: Context, { state, stateFolders }: StatusFlags): Promise<ExitCode> {
  // The listener and the connectors of a configuration may have folders of their own.
  const named = stateFolders ?? [state];
  const folders = new Set<string>();
  for (const folder of named) folders.add(folder ?? (await io.stateFolder()));
  const doors: DoorAddress[] = [];
  for (const folder of folders) for (const door of await liveDoors(folder)) doors.push({ folder, door });
  const answers = await Promise.allSettled(
    doors.map(async (door) => v.parse(StatusSchema, await callDoor(door, 'status', {}, io.timers))),
  );
  const processes = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const failed = answers.find((answer) => answer.status === 'rejected');
  if (failed !== undefined && processes.length === 0) throw failed.reason;
  if (processes.length === 0) {
    const where = [...folders].join(' or ');
    throw new TunnelError(
      'ERR_CONTROL',
      `nothing is running with the state folder ${where}; use --state to name the folder of the process. Processes with --ephemeral cannot be asked`,
    );
  }
  reporter.event({ event: 'status', processes });
  reporter.result(processes.flatMap(linesOf).join('\n'));
  if (failed === undefined) return codeOf(processes);
  reporter.error(failed.reason);
  return EXIT.failure;
}

/** The exit code for monitoring: the worst of what the processes report. */
function codeOf(processes: readonly Status[]): ExitCode {
  if (!processes.every(({ network, peers }) => isJoined(network, peers))) return EXIT.notJoined;
  const isOffline = ({ role, peers }: Status): boolean =>
    role === 'connector' && !peers.some(({ status }) => status === 'online');
  return processes.some(isOffline) ? EXIT.offline : EXIT.ok;
}

const NETWORK: Readonly<Record<Status['network'], string>> = {
  udp: 'joined over UDP',
  // toxcore reports the same when all nodes have private addresses.
  relay: 'joined through TCP relays, or a private network',
  none: 'not joined to the network',
};

function linesOf(process: Status): string[] {
  const { role, pid, upMs, network, bytesIn, bytesOut, inRate, outRate, peers, forwards } = process;
  const traffic = `in ${humanBytes(bytesIn)} (${humanBytes(inRate)}/s), out ${humanBytes(bytesOut)} (${humanBytes(outRate)}/s)`;
  return [
    `${role} ${pid}: up ${humanDuration(upMs)}, ${NETWORK[network]}, ${traffic}`,
    ...(peers.length === 0
      ? ['  no peer is connected']
      : peers.map((peer) => `  ${peerRow(peer, role === 'connector')}`)),
    ...forwards.map((forward) => `  ${forwardRow(forward)}`),
  ];
}
