import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What a process has open to the network. Linux only. */
export interface ProcessSockets {
  /** Local ports of its UDP sockets. */
  readonly udpPorts: readonly number[];
  /** Remote ports of its TCP connections, each once, except those that it accepted on `localPorts`. */
  readonly tcpTo: readonly number[];
}

/** @param localPorts the ports on which the process listens; connections there are not its own */
export function socketsOf(pid: number, localPorts: readonly number[]): ProcessSockets {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return []; // closed in the meantime
      }
    }),
  );
  const table = (name: string): { local: number; remote: number }[] =>
    readFileSync(`/proc/${pid}/net/${name}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => inodes.has(fields[9] ?? ''))
      .map(([, local = '', remote = '']) => ({ local: portIn(local), remote: portIn(remote) }));
  const tcp = [...table('tcp'), ...table('tcp6')];
  const out = tcp.filter(({ local, remote }) => remote !== 0 && !localPorts.includes(local));
  const udpPorts = [...table('udp'), ...table('udp6')].map(({ local }) => local);
  return {
    udpPorts,
    tcpTo: [...new Set(out.map(({ remote }) => remote))],
  };
}

/** Reads `0100007F:1F90`. */
const portIn = (address: string): number => Number.parseInt(address.slice(address.indexOf(':') + 1), 16);
