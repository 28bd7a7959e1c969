import { UNSEEN } from '../../core/unseen.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** `999 B`, `1.0 kB`, `12 MB`: decimal units, two digits below ten. */
export function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 would print as 1000.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0);
  return `${digits} ${UNITS[unit]}`;
}

/** `0 s`, `59 s`, `1 min 5 s`, `3 h 2 min`, `2 d 1 h`: the two largest units, rounded down. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}

/** Escapes text from a peer or a file so that it is safe on one line of a terminal, and hides nothing. */
export function printable(text: string): string {
  return text.replaceAll(UNSEEN, (unseen) => {
    const digits = (unseen.codePointAt(0) ?? 0).toString(16);
    return digits.length > 4 ? `\\u{${digits}}` : `\\u${digits.padStart(4, '0')}`;
  });
}

/** JSON whose strings have such characters escaped too, because people also read it. It parses to the same value. */
export function visibleJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSEEN, (unseen) =>
    unseen.replaceAll(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

/**
 * The sentence of a `DialError`, whose message repeats it after the code; other errors give their message.
 */
export function refusalText(error: Error): string {
  // Recognized by its shape: importing the class would load the library.
  return 'detail' in error && typeof error.detail === 'string' ? error.detail : error.message;
}
