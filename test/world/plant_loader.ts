/** A loader hook before tsx's: one file of src/ gets a planted fault. */
import { readFileSync } from 'node:fs';
import type { LoadHook } from 'node:module';
import { fileURLToPath } from 'node:url';
import { transformSync } from 'esbuild';
import type { Plant } from './plants.js';

let plant: Plant | undefined;

export function initialize(given: Plant): void {
  plant = given;
}

export const load: LoadHook = async (url, context, nextLoad) => {
  if (plant === undefined || !url.split('?')[0]?.endsWith(`/src/${plant.file}`))
    return await nextLoad(url, context);
  const { text, instead } = plant;
  const source = readFileSync(fileURLToPath(url.split('?')[0]!), 'utf8');
  if (!source.includes(text)) throw new Error(`${url} has no ${JSON.stringify(text)} to plant a fault at`);
  const { code } = transformSync(
    source.replace(text, () => instead),
    { loader: 'ts', format: 'esm', target: 'node20' },
  );
  return { format: 'module', source: code, shortCircuit: true };
};
