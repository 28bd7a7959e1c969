import { isSource } from './package_files.js';

/**
 * For a program in TypeScript, returns JavaScript that runs it in a worker thread. tsx hooks into the main thread only
 * (privatenumber/tsx#354), so the thread installs tsx itself. The build replaces this file, because the package
 * contains no sources.
 */
export function sourceBoot(program: URL): string | undefined {
  if (!isSource(program)) return undefined;
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const main = JSON.stringify(program.href);
  return `import(${tsx}).then(({ register }) => { register(); return import(${main}); });`;
}
