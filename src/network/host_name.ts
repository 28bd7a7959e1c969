import { isIP } from 'node:net';

/** Source: RFC 1035, section 2.3.4. */
const MAX_NAME_CHARACTERS = 253;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/**
 * What is wrong with a host, or undefined when it is a numeric address or a name that DNS could
 * know. Names that look like numbers (`1.2.3`, `0x7f.1`) are refused: systems read them differently.
 */
export function hostProblem(host: string): string | undefined {
  if (host === '') return 'the host is missing';
  if (isIP(host) !== 0)
    return host.includes('%') ? 'an address with a zone (%…) is not supported' : undefined;
  if (host.length > MAX_NAME_CHARACTERS) return `the host has more than ${MAX_NAME_CHARACTERS} characters`;
  const labels = host.replace(/\.$/, '').split('.');
  const bad = labels.find((label) => !LABEL.test(label));
  if (bad !== undefined) return `${JSON.stringify(host)} is neither an address nor a host name`;
  const last = labels.at(-1) ?? '';
  if (/^(\d+|0x[0-9a-f]*)$/i.test(last)) return `${JSON.stringify(host)} is no IPv4 address`;
  return undefined;
}
