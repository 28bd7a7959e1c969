/** CPU time and memory of a process and its children, from /proc: Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

/** Kernel ticks a second that /proc counts CPU time in: USER_HZ, 100 on every Linux that Node runs on (proc(5)). */
const TICKS_PER_SECOND = 100;

export interface Usage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

/** Children that have ended do not count. */
export function usageOf(pid: number): Usage {
  let cpuSeconds = 0;
  let rssBytes = 0;
  for (const each of familyOf(pid)) {
    const stat = readProc(each, 'stat');
    // The name in parentheses may hold spaces; after it comes field 3.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    cpuSeconds += (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
    rssBytes += Number(/VmRSS:\s+(\d+) kB/.exec(readProc(each, 'status'))?.[1] ?? 0) * 1024;
  }
  return { cpuSeconds, rssBytes };
}

/** The most memory that was resident at once, in bytes; children do not count. */
export function peakRssOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readProc(pid, 'status'))?.[1] ?? Number.NaN) * 1024;
}

function familyOf(pid: number): number[] {
  // A process's children stand with the thread that started them.
  const children = threadsOf(pid).flatMap((thread) =>
    readProc(pid, `task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(familyOf)];
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Empty when the process has ended meanwhile. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
