import { TunnelError, type TunnelErrorCode } from '../../src/core/errors.js';
import { asBytes, asText, type FuzzInput, type Mutator } from './mutate.js';

export type Verdict = 'accepted' | 'refused';

/** Something that reads what strangers wrote. */
export interface FuzzTarget {
  readonly name: string;
  /** Which part of all inputs it gets, beside the others. */
  readonly share: number;
  readonly seeds: readonly FuzzInput[];
  /** Changes one of `parents`, which are of the seeds' kind. */
  make(mutator: Mutator, parents: readonly FuzzInput[]): FuzzInput;
  /** Throws on what must not be: an error that is no refusal, or an answer that contradicts itself. */
  run(input: FuzzInput): Verdict | Promise<Verdict>;
}

/** Runs `read`; one of the refusals named counts as such, all else is thrown on. */
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

/** What did not come out the same. */
export function same(what: string, a: unknown, b: unknown): void {
  const [left, right] = [a, b].map((each) => (each instanceof Uint8Array ? hex(each) : JSON.stringify(each)));
  if (left !== right) throw new Error(`${what}: ${left} became ${right}`);
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** No Buffer: its `slice` would share the seeds with what is made of them. */
export const unhex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** A target of bytes. */
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

/** A target of text; `pieces` are words of its grammar. */
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
