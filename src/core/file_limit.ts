import { readFileSync } from 'node:fs';

/** How a process divides the files that it may have open: connections to others, and the rest. */
export interface FilePlan {
  /** Files that this process may have open; Infinity when the system sets no limit. */
  readonly limit: number;
  /** Descriptors for connections that others cause: targets, accepted connections, UDP clients. */
  readonly connections: number;
  /** Connections of one node to TCP relays. They come out of the reserve. */
  readonly relays: number;
}

/**
 * What stays free for our own work: a node's threads and sockets take about 30 descriptors, the control socket and
 * metrics up to 24, relays a quarter; the rest is for state files and look-ups of names.
 */
const LEAST_RESERVE = 96;
const MOST_RESERVE = 512;
const RELAYS_PART = 1 / 4;

/** @param limit what {@link fileLimit} gives */
export function filePlan(limit: number): FilePlan {
  const wanted = Math.min(Math.max(limit / 4, LEAST_RESERVE), MOST_RESERVE);
  const reserve = Math.min(wanted, limit / 2);
  return { limit, connections: Math.floor(limit - reserve), relays: Math.floor(reserve * RELAYS_PART) };
}

/**
 * Files that this process may have open at once. Node raises the soft limit to the hard one when it starts, and what
 * counts is what it is then.
 *
 * @param readLimits gives the text of /proc/self/limits, for tests
 */
export function fileLimit(readLimits = (): string => readFileSync('/proc/self/limits', 'utf8')): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readLimits())?.[1];
    if (soft !== undefined) return limitOf(soft);
  } catch {
    // Not Linux, or not allowed to read that.
  }
  return reportedLimit();
}

/** What Node's own report says; a few milliseconds, and it works wherever there is such a limit. */
function reportedLimit(): number {
  // Windows has no such limit.
  if (process.platform === 'win32') return Number.POSITIVE_INFINITY;
  const { report } = process;
  // A property that Node's types do not have yet: by default a report looks up the names of all connected addresses.
  const before: unknown = Reflect.get(report, 'excludeNetwork');
  try {
    Reflect.set(report, 'excludeNetwork', true);
    const made: unknown = report.getReport();
    return limitOf(softLimitIn(made));
  } catch {
    return Number.POSITIVE_INFINITY;
  } finally {
    Reflect.set(report, 'excludeNetwork', before);
  }
}

/** The field `userLimits.open_files.soft` of a report, which Node's types do not know. */
function softLimitIn(report: unknown): unknown {
  return ['userLimits', 'open_files', 'soft'].reduce<unknown>(
    (value, name) =>
      typeof value === 'object' && value !== null
        ? Object.getOwnPropertyDescriptor(value, name)?.value
        : undefined,
    report,
  );
}

/** Anything that is no number means that there is no limit. */
function limitOf(soft: unknown): number {
  const limit = Number(soft);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : Number.POSITIVE_INFINITY;
}
