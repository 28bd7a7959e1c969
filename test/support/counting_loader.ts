/** A loader hook after tsx's: all modules in src/ count their branches. */
import type { LoadHook } from 'node:module';
import { countBranches } from './count_branches.js';

const sources = new URL('../../src/', import.meta.url).href;

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (!url.startsWith(sources) || loaded.format !== 'module' || loaded.source === undefined) return loaded;
  const text = typeof loaded.source === 'string' ? loaded.source : new TextDecoder().decode(loaded.source);
  return { ...loaded, source: countBranches(text) };
};
