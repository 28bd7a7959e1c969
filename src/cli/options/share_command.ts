import { parseExposeSpec, ruleForAll } from '../../rules/expose.js';
import { portOfService, withoutUrl } from '../../rules/service_names.js';
import { PROGRAM } from '../output/reporter.js';

/**
 * For a word that names something to share, such as a port, the clause with the command that shares it:
 * `to share port 22, run: tox-wasm-tunnel --expose 22`. Undefined for other words.
 */
export function shareCommand(word: string): string | undefined {
  const rule = ruleOf(word);
  if (rule === undefined) return undefined;
  const what = /^\d+$/.test(rule) ? `port ${rule}` : rule;
  return `to share ${what}, run: ${PROGRAM} --expose ${rule}`;
}

/** Returns the value of `--expose` that a word means. */
function ruleOf(word: string): string | undefined {
  const usual = portOfService(word);
  if (usual !== undefined) return String(usual);
  const text = withoutUrl(word) ?? word.replace(/^:(?=\d)/, '');
  // A name alone is no rule, and a pattern with stars is not what a newcomer writes here.
  if (!/\d|^\//.test(text) || text.includes('*')) return undefined;
  try {
    parseExposeSpec(text);
    return ruleForAll(text);
  } catch {
    return undefined;
  }
}
