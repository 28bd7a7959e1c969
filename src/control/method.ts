import * as v from 'valibot';
import { TunnelError } from '../core/errors.js';

/** Answers a question of the control socket, now or later; what it throws is the answer too. */
export type ControlMethod = (params: unknown) => unknown;

/** By name, as `peers` or `rule.add`. */
export type ControlMethods = Readonly<Record<string, ControlMethod>>;

/** A method whose parameters are checked before it runs: whoever asks may be an older version, or nonsense. */
export function method<Schema extends v.GenericSchema>(
  params: Schema,
  run: (params: v.InferOutput<Schema>) => unknown,
): ControlMethod {
  return (given) => {
    const read = v.safeParse(params, given, { abortEarly: true });
    if (read.success) return run(read.output);
    const [issue] = read.issues;
    const field = issue.path?.[0]?.key;
    const where = field === undefined ? 'the parameters' : JSON.stringify(field);
    throw new TunnelError('ERR_USAGE', `${where}: ${issue.message}`);
  };
}
