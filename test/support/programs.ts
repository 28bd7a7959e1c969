import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program that a test uses, and the Debian package that holds it. */
export interface TestProgram {
  readonly name: string;
  readonly debianPackage: string;
  /** A file that shows that it is installed; without one, the program is looked up on the PATH. */
  readonly file?: string;
}

export const CURL: TestProgram = { name: 'curl', debianPackage: 'curl' };
export const SSH: TestProgram = { name: 'ssh', debianPackage: 'openssh-client' };
export const SSHD = { name: 'sshd', debianPackage: 'openssh-server', file: '/usr/sbin/sshd' } as const;
export const CC: TestProgram = { name: 'cc', debianPackage: 'gcc' };
export const NATIVE_TOXCORE: TestProgram = {
  name: 'libtoxcore',
  debianPackage: 'libtoxcore-dev',
  file: '/usr/include/tox/tox.h',
};
export const TOX_BOOTSTRAPD: TestProgram = { name: 'tox-bootstrapd', debianPackage: 'toxcore-utils' };

/** Debian keeps the server programs by version, off the PATH. */
const POSTGRES_ROOT = '/usr/lib/postgresql';

/** Returns the path of a program of PostgreSQL. */
export function postgresProgram(name: string): string {
  try {
    const newest = readdirSync(POSTGRES_ROOT)
      .map(Number)
      .sort((a, b) => b - a)[0];
    return join(POSTGRES_ROOT, String(newest), 'bin', name);
  } catch {
    return join(POSTGRES_ROOT, name);
  }
}

export const POSTGRES: TestProgram = {
  name: 'postgres',
  debianPackage: 'postgresql',
  file: postgresProgram('postgres'),
};
export const REDIS: TestProgram = { name: 'redis-server', debianPackage: 'redis-server' };
export const NGINX: TestProgram = { name: 'nginx', debianPackage: 'nginx', file: '/usr/sbin/nginx' };
export const WRK: TestProgram = { name: 'wrk', debianPackage: 'wrk' };
export const SYSTEMD: TestProgram = { name: 'systemd-analyze', debianPackage: 'systemd' };
export const BASH: TestProgram = { name: 'bash', debianPackage: 'bash' };
export const ZSH: TestProgram = { name: 'zsh', debianPackage: 'zsh' };
export const FISH: TestProgram = { name: 'fish', debianPackage: 'fish' };
export const RSYNC: TestProgram = { name: 'rsync', debianPackage: 'rsync' };
export const DIG: TestProgram = { name: 'dig', debianPackage: 'bind9-dnsutils' };
export const TINYPROXY: TestProgram = { name: 'tinyproxy', debianPackage: 'tinyproxy' };
/** Network namespaces. */
export const IPROUTE2: TestProgram = { name: 'ip', debianPackage: 'iproute2' };
export const NFTABLES = { name: 'nft', debianPackage: 'nftables', file: '/usr/sbin/nft' } as const;
export const GIT: TestProgram = { name: 'git', debianPackage: 'git' };

export const TEST_PROGRAMS: readonly TestProgram[] = [
  ...[CURL, SSH, SSHD, CC, NATIVE_TOXCORE, TOX_BOOTSTRAPD],
  ...[POSTGRES, REDIS, NGINX, WRK, RSYNC, GIT, DIG, SYSTEMD],
  ...[IPROUTE2, NFTABLES, TINYPROXY],
  ...[BASH, ZSH, FISH],
];

export function hasProgram(program: TestProgram): boolean {
  const candidates =
    program.file !== undefined
      ? [program.file]
      : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, program.name));
  return candidates.some((file) => {
    try {
      accessSync(file, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** For `test(name, { skip: skipWithout(SSHD) }, …)`: false, or a line that says what is missing. */
export function skipWithout(...programs: readonly TestProgram[]): string | false {
  const missing = programs.filter((program) => !hasProgram(program));
  if (missing.length === 0) return false;
  return `needs ${missing.map((program) => `${program.name} (Debian package ${program.debianPackage})`).join(', ')}`;
}
