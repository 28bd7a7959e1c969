import { usage } from '../options/flags.js';

export type ServiceScope = 'system' | 'user';

/** What a unit is made of. */
export interface UnitParts {
  readonly scope: ServiceScope;
  /** Name of the unit without its ending, and of the folder in /var/lib. */
  readonly name: string;
  readonly description: string;
  /** The whole command, its program's full path first. */
  readonly command: readonly string[];
  /** System: files that the service is given, by the word of the command that names them; root reads them for it. */
  readonly credentials: ReadonlyMap<string, string>;
  /** System: whom it runs as; undefined: a user of its own that exists while it runs. */
  readonly user: string | undefined;
  /** System: it listens at a port below 1024. */
  readonly needsLowPorts: boolean;
}

/** The default hard limit of systemd from version 240 on; more than 64 peers with 4096 streams each need. */
const FILE_LIMIT = 524_288;

/** What the first line of a unit of ours is. */
export const UNIT_MARK = '# Written by tox-wasm-tunnel service install.';

/** The text of a systemd unit. Sources: systemd.service(5), systemd.exec(5). */
export function systemdUnit(parts: UnitParts): string {
  const { scope, description, command, credentials } = parts;
  const words = command.map((word) => {
    const credential = credentials.get(word);
    // Expanded by systemd, from version 247 on.
    return credential === undefined ? unitWord(word) : `\${CREDENTIALS_DIRECTORY}/${credential}`;
  });
  return [
    UNIT_MARK,
    '[Unit]',
    `Description=${description.replaceAll('%', '%%')}`,
    ...(scope === 'system' ? ['Wants=network-online.target', 'After=network-online.target'] : []),
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${words.join(' ')}`,
    'Restart=always',
    'RestartSec=5',
    '# Wrong usage or input: it would fail again.',
    'RestartPreventExitStatus=2',
    'TimeoutStopSec=20',
    'UMask=0077',
    '# Each connection uses a file descriptor; a lower limit means fewer connections.',
    `LimitNOFILE=${FILE_LIMIT}`,
    ...(scope === 'system' ? systemSettings(parts) : []),
    '',
    ...sharedHardening(),
    ...(scope === 'system' ? systemHardening(parts) : []),
    '',
    '[Install]',
    `WantedBy=${scope === 'system' ? 'multi-user.target' : 'default.target'}`,
    '',
  ].join('\n');
}

/** Where a system service of this name keeps its state. */
export function systemStateFolder(name: string): string {
  return `/var/lib/${name}`;
}

function systemSettings({ name, user, credentials }: UnitParts): string[] {
  return [
    ...(user === undefined ? ['DynamicUser=yes'] : [`User=${user}`]),
    `StateDirectory=${name}`,
    'StateDirectoryMode=0700',
    ...[...credentials].map(([file, id]) => `LoadCredential=${id}:${file.replaceAll('%', '%%')}`),
  ];
}

/** What needs no privilege, so that a user's services may have it too. */
function sharedHardening(): string[] {
  return [
    '# No MemoryDenyWriteExecute: V8 and WebAssembly compile while they run.',
    '# A core dump would hold the secret key.',
    'LimitCORE=0',
    'NoNewPrivileges=yes',
    'LockPersonality=yes',
    '# Netlink tells the addresses of this machine.',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallErrorNumber=EPERM',
  ];
}

function systemHardening({ user, needsLowPorts }: UnitParts): string[] {
  return [
    'ProtectSystem=strict',
    ...(user === undefined
      ? ['ProtectHome=yes']
      : ['# Its program lies in a home folder.', 'ProtectHome=read-only']),
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'ProtectClock=yes',
    'ProtectControlGroups=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'RemoveIPC=yes',
    ...(needsLowPorts
      ? ['CapabilityBoundingSet=CAP_NET_BIND_SERVICE', 'AmbientCapabilities=CAP_NET_BIND_SERVICE']
      : ['CapabilityBoundingSet=']),
  ];
}

/** A word of ExecStart. @throws {TunnelError} ERR_USAGE */
function unitWord(word: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(word))
    throw usage(`${JSON.stringify(word)} cannot stand in a unit of systemd`);
  const escaped = word.replaceAll('%', '%%').replaceAll('$', () => '$$');
  if (/^[\w@+=:,./%$-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
