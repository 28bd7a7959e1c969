/** CPU time and memory of a process and its children, from /proc: Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Kernel ticks per second in which /proc counts CPU time: USER_HZ, which is 100 on every Linux that Node runs
 * on (proc(5)).
 */
const TICKS_PER_SECOND = 100;

export interface Usage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

/** Ignores children that have exited. */
export function usageOf(pid: number): Usage {
  let cpuSeconds = 0;
  let rssBytes = 0;
  for (const each of familyOf(pid)) {
    const stat = readProc(each, 'stat');
    // The name in parentheses may contain spaces; field 3 follows it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    cpuSeconds += (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
    rssBytes += Number(/VmRSS:\s+(\d+) kB/.exec(readProc(each, 'status'))?.[1] ?? 0) * 1024;
  }
  return { cpuSeconds, rssBytes };
}

/** Returns the peak resident memory in bytes, without children. */
export function peakRssOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readProc(pid, 'status'))?.[1] ?? Number.NaN) * 1024;
}

function familyOf(pid: number): number[] {
  // Each child is listed under the thread that started it.
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

/** Returns an empty string when the process has exited in the meantime. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
