import { usage } from '../options/flags.js';

/** What needs no quotes in any shell; `%` means something to ssh. */
const PLAIN = /^[\w@+=:,./-]+$/;

/**
 * Words as a line of ssh's `ProxyCommand`, `%p` being the port that it asks for.
 *
 * @param words without the last one, which is the target
 * @throws {TunnelError} ERR_USAGE when a word cannot stand there
 */
export function proxyCommand(words: readonly string[], platform: NodeJS.Platform): string {
  return [...words.map((word) => quoted(word, platform)), 'localhost:%p'].join(' ');
}

/**
 * A word for the shell that ssh runs the line with; its per cent signs are doubled. On Windows that is a
 * POSIX shell or none at all: slashes and double quotes serve both.
 */
function quoted(word: string, platform: NodeJS.Platform): string {
  // A line of ssh's configuration ends there.
  if (/[\r\n\0]/.test(word)) throw usage(`${JSON.stringify(word)} cannot stand in a configuration of ssh`);
  const escaped = word.replaceAll('%', '%%');
  if (platform === 'win32') {
    // Not in a path there, and not to be escaped in a way that all shells know.
    if (/["$`]/.test(word)) throw usage(`${JSON.stringify(word)} cannot stand in a ProxyCommand on Windows`);
    const forward = escaped.replaceAll('\\', '/');
    return PLAIN.test(forward) ? forward : `"${forward}"`;
  }
  return PLAIN.test(escaped) ? escaped : `'${escaped.replaceAll("'", "'\\''")}'`;
}
