import { TunnelError, type TunnelErrorCode } from '../../src/core/errors.js';
import { asBytes, asText, type FuzzInput, type Mutator } from './mutate.js';

export type Verdict = 'accepted' | 'refused';

/** A reader of foreign input. */
export interface FuzzTarget {
  readonly name: string;
  /** Its share of all inputs, relative to the other targets. */
  readonly share: number;
  readonly seeds: readonly FuzzInput[];
  /** Mutates one of `parents`, which are of the same kind as the seeds. */
  make(mutator: Mutator, parents: readonly FuzzInput[]): FuzzInput;
  /** Throws on a bug: an error that is not a refusal, or an answer that contradicts itself. */
  run(input: FuzzInput): Verdict | Promise<Verdict>;
}

/** Runs `read`; treats the named errors as refusals and rethrows all others. */
export function refusing(codes: readonly TunnelErrorCode[], read: () => void): Verdict {
  try {
    read();
    return 'accepted';
  } catch (error) {
    if (TunnelError.is(error) && codes.includes(error.code)) {
      if (/[\r\n]/.test(error.message)) throw new Error(`a refusal of two lines: ${error.message}`);
      return 'refused';
    }
    throw error;
  }
}

/** Throws when the two differ. */
export function same(what: string, a: unknown, b: unknown): void {
  const [left, right] = [a, b].map((each) => (each instanceof Uint8Array ? hex(each) : JSON.stringify(each)));
  if (left !== right) throw new Error(`${what}: ${left} became ${right}`);
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** Not a Buffer: its `slice` would share memory between the seeds and the inputs derived from them. */
export const unhex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** Makes a byte target. */
export function bytesTarget(
  name: string,
  share: number,
  seeds: readonly Uint8Array[],
  maxBytes: number,
  run: (input: Uint8Array) => Verdict,
): FuzzTarget {
  return {
    name,
    share,
    seeds,
    make: (mutator, parents) => mutator.bytes(parents, maxBytes),
    run: (input) => run(asBytes(input)),
  };
}

/** Makes a text target; `pieces` are words of its grammar. */
export function textTarget(
  name: string,
  share: number,
  seeds: readonly string[],
  pieces: readonly string[],
  run: (input: string) => Verdict | Promise<Verdict>,
): FuzzTarget {
  return {
    name,
    share,
    seeds,
    make: (mutator, parents) => mutator.text(parents, pieces),
    run: (input) => run(asText(input)),
  };
}
