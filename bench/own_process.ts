import { fileURLToPath } from 'node:url';
import { LineProcess } from '../test/support/line_process.js';

/** Runs a file of this folder from its source in a separate process. */
export function ownProcess(file: string, ...args: readonly number[]): LineProcess {
  const path = fileURLToPath(new URL(file, import.meta.url));
  return new LineProcess(process.execPath, [
    '--import',
    import.meta.resolve('tsx'),
    path,
    ...args.map(String),
  ]);
}

/** Starts the target to which all ways lead; returns its port. */
export async function startTarget(maxBytes: number): Promise<{ port: number; stop: () => Promise<void> }> {
  const target = ownProcess('./target_process.ts', maxBytes);
  const [, port] = await target.line(/^port (\d+)$/);
  return { port: Number(port), stop: () => target.stop() };
}
