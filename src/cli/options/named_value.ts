import { detailOf, TunnelError } from '../../core/errors.js';

/**
 * Reads a value of the command line, and names its option or argument in the error.
 *
 * @param name `--expose`, `-L` or, for an argument, `PORT`
 * @throws {TunnelError} the error of `read`, with the name before it
 */
export function readValue<Value>(name: string, text: string, read: (text: string) => Value): Value {
  try {
    return read(text);
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    const detail = detailOf(error);
    // A detail that begins with the value needs no colon.
    throw new TunnelError(error.code, `${name}${detail.startsWith('"') ? '' : ':'} ${detail}`, {
      cause: error,
    });
  }
}

/** {@link readValue} for every value of a repeatable option. */
export function readValues<Value>(
  name: string,
  texts: readonly string[] | undefined,
  read: (text: string) => Value,
): Value[] {
  return (texts ?? []).map((text) => readValue(name, text, read));
}
