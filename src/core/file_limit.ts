import { readFileSync } from 'node:fs';

/** How a process divides the files that it may have open. */
export interface FilePlan {
  /** Files that this process may have open; Infinity when the system sets no limit. */
  readonly limit: number;
  /** Descriptors for connections: targets, accepted connections, UDP clients. */
  readonly connections: number;
  /** Connections of one node to TCP relays, which come out of {@link node}. */
  readonly relays: number;
  /** Descriptors of one node: its threads, its sockets and its relays. The reserve has room for one node. */
  readonly node: number;
}

/**
 * Files reserved for our own work: one node's threads and sockets take about 30, the control socket and metrics up to 24,
 * relays a quarter; the rest is for state files and name lookups.
 */
const LEAST_RESERVE = 96;
const MOST_RESERVE = 512;
const RELAYS_FRACTION = 1 / 4;
/** Files of a node without its relays. */
const NODE_FILES = 32;

/** @param limit what {@link fileLimit} gives */
export function filePlan(limit: number): FilePlan {
  const wanted = Math.min(Math.max(limit / 4, LEAST_RESERVE), MOST_RESERVE);
  const reserve = Math.min(wanted, limit / 2);
  const relays = Math.floor(reserve * RELAYS_FRACTION);
  return { limit, connections: Math.floor(limit - reserve), relays, node: NODE_FILES + relays };
}

/**
 * Files that this process may have open at once. Node raises the soft limit to the hard one at startup; this is the raised
 * limit.
 *
 * @param readLimits returns the text of /proc/self/limits; for tests
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

/** The limit in Node's diagnostic report: takes a few milliseconds, but works on every system with such a limit. */
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

/** Anything but a number means no limit. */
function limitOf(soft: unknown): number {
  const limit = Number(soft);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : Number.POSITIVE_INFINITY;
}
