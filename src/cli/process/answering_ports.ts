import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { endianness } from 'node:os';

/** Time for a port of this machine to accept a connection, in milliseconds. A firewall may drop the attempt. */
const DIAL_MS = 300;

/**
 * Returns the TCP ports of the loopback on which a program listens, in ascending order. On Linux the kernel lists them;
 * elsewhere they are found by dialling.
 *
 * @param usual the ports to dial where the system does not list the open ones
 */
export async function answeringPorts(usual: readonly number[]): Promise<number[]> {
  const listed = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readTable));
  const ports = listed.every((table) => table === undefined)
    ? await dialled(usual)
    : listed.flatMap((table = '') => listeningPorts(table, endianness()));
  return [...new Set(ports)].sort((a, b) => a - b);
}

/** @returns undefined when the system has no such file */
async function readTable(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1');
  } catch {
    return undefined;
  }
}

/** State of a listening socket. Source: TCP_LISTEN in Linux's include/net/tcp_states.h. */
const LISTENING = '0A';

/** Number of the row, local address and port, those of the far end, state. */
const ROW = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /;

/** Addresses that a connection to the loopback reaches, as {@link listeningPorts} finds them: any, 127.0.0.1, ::1. */
const REACHED = {
  LE: new Set(['00000000', '0100007F', '0'.repeat(32), `${'0'.repeat(24)}01000000`]),
  BE: new Set(['00000000', '7F000001', '0'.repeat(32), `${'0'.repeat(31)}1`]),
};

/**
 * Returns the ports in the text of /proc/net/tcp or /proc/net/tcp6 that a connection to the loopback reaches.
 *
 * @param order of the machine's bytes: the kernel writes an address as words of 32 bits. Source: get_tcp4_sock() in
 *   Linux's net/ipv4/tcp_ipv4.c
 */
export function listeningPorts(table: string, order: 'LE' | 'BE'): number[] {
  return table.split('\n').flatMap((line) => {
    const [, address = '', port = '', state] = ROW.exec(line) ?? [];
    return state === LISTENING && REACHED[order].has(address) ? [Number.parseInt(port, 16)] : [];
  });
}

/** Returns those of the ports that accept a connection. */
export async function dialled(ports: readonly number[]): Promise<number[]> {
  const answer = await Promise.all(ports.map(answers));
  return ports.filter((_, at) => answer[at]);
}

function answers(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1', timeout: DIAL_MS });
  return new Promise<boolean>((resolve) => {
    socket
      .on('connect', () => resolve(true))
      .on('timeout', () => resolve(false))
      .on('error', () => resolve(false));
  }).finally(() => socket.destroy());
}
