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
  /** System: networks that the service may not reach, as `address/bits`. */
  readonly deniedNetworks: readonly string[];
  /** The service writes its audit to the journal. */
  readonly auditsToJournal: boolean;
  /** System: the service writes its audit to files in its own folder below /var/log. */
  readonly hasLogFolder: boolean;
}

/**
 * The default hard limit of systemd since version 240. It exceeds what 1,024 peers with 500 streams each need.
 */
const FILE_LIMIT = 524_288;

/**
 * 1,024 idle peers need about 300 MiB (bench/README.md). The rest is for buffers, of which a peer may fill about 100
 * MiB. So a fault of this program ends this program, and not another one on the machine.
 */
const MEMORY_LIMIT = '4G';

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
    '# Reads the configuration, the rules and named files again, and reopens the audit log.',
    'ExecReload=/bin/kill -HUP $MAINPID',
    'Restart=always',
    'RestartSec=5',
    '# Wrong usage or input: a restart would fail again.',
    'RestartPreventExitStatus=2',
    'TimeoutStopSec=20',
    'UMask=0077',
    '# Each connection uses a file descriptor; a lower limit means fewer connections.',
    `LimitNOFILE=${FILE_LIMIT}`,
    '# Far above what 1,024 peers need: only a fault reaches it.',
    `MemoryMax=${MEMORY_LIMIT}`,
    ...(parts.auditsToJournal
      ? [
          '# The audit goes to the journal, which otherwise drops messages that arrive at a high rate.',
          'LogRateLimitIntervalSec=0',
        ]
      : []),
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

function systemSettings({ name, user, credentials, hasLogFolder }: UnitParts): string[] {
  return [
    ...(user === undefined ? ['DynamicUser=yes'] : [`User=${user}`]),
    `StateDirectory=${name}`,
    'StateDirectoryMode=0700',
    ...(hasLogFolder ? [`LogsDirectory=${name}`, 'LogsDirectoryMode=0700'] : []),
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
    '# V8 may protect its code with memory keys. Nothing here changes owners, users or priorities.',
    'SystemCallFilter=@system-service @pkey',
    'SystemCallFilter=~@privileged @resources',
    'SystemCallErrorNumber=EPERM',
  ];
}

function systemHardening({ user, needsLowPorts, deniedNetworks }: UnitParts): string[] {
  return [
    'ProtectSystem=strict',
    ...(user === undefined
      ? ['ProtectHome=yes']
      : ['# The program is in a home folder.', 'ProtectHome=read-only']),
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'PrivateMounts=yes',
    '# No ProcSubset=pid: the boot id in /proc/sys identifies locks of an earlier boot.',
    'ProtectProc=invisible',
    // Capabilities in a user namespace of its own do not cover low ports.
    ...(needsLowPorts ? [] : ['PrivateUsers=yes']),
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
    ...(deniedNetworks.length === 0
      ? []
      : [
          '# Where clouds keep the secrets of this machine. Rules deny it too, unless they name it.',
          ...deniedNetworks.map((network) => `IPAddressDeny=${network}`),
        ]),
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
