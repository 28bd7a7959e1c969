import { usage } from '../options/usage.js';

export type ServiceScope = 'system' | 'user';

export interface UnitParts {
  readonly scope: ServiceScope;
  /** Name of the unit without `.service`, and of the folder in /var/lib. */
  readonly name: string;
  readonly description: string;
  /** The command; its first word is the full path of the program. */
  readonly command: readonly string[];
  /** System: credential names by path. root reads these files for the service. */
  readonly credentials: ReadonlyMap<string, string>;
  /** System: the user; undefined: a dynamic user that exists while the service runs. */
  readonly user: string | undefined;
  /** System: the service listens on a port below 1024. */
  readonly needsLowPorts: boolean;
}

/**
 * The default hard limit of systemd since version 240. It exceeds what 1,024 peers with 500 streams each need.
 */
const FILE_LIMIT = 524_288;

/** The first line of every unit that this program writes. */
export const UNIT_MARK = '# Written by tox-wasm-tunnel service install.';

/** The text of a systemd unit. Sources: systemd.service(5), systemd.exec(5). */
export function systemdUnit(parts: UnitParts): string {
  const { scope, description, command, credentials } = parts;
  const words = command.map((word) => {
    const credential = credentials.get(word);
    // systemd expands this since version 247.
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
    '# Wrong usage or input: a restart would fail again.',
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

/** The state folder of a system service. */
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

/** Hardening that needs no privilege, so user services have it too. */
function sharedHardening(): string[] {
  return [
    '# No MemoryDenyWriteExecute: V8 and WebAssembly compile while they run.',
    '# A core dump would hold the secret key.',
    'LimitCORE=0',
    'NoNewPrivileges=yes',
    'LockPersonality=yes',
    '# Netlink lists the addresses of this machine.',
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
      : ['# The program is in a home folder.', 'ProtectHome=read-only']),
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

/** Quotes a word for ExecStart. @throws {TunnelError} ERR_USAGE */
function unitWord(word: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for them
  if (/[\u0000-\u001f\u007f]/.test(word))
    throw usage(`${JSON.stringify(word)} cannot be part of a systemd unit`);
  const escaped = word.replaceAll('%', '%%').replaceAll('$', () => '$$');
  if (/^[\w@+=:,./%$-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
