import * as v from 'valibot';

/** Why a text is no state file; what to do about it, the reader of the file knows. */
export class StateFault extends Error {}

/** @param prefix stands before the name of the field that is wrong @throws {StateFault} */
export function checked<T>(schema: v.GenericSchema<unknown, T>, json: unknown, prefix: string): T {
  const read = v.safeParse(schema, json, { abortEarly: true });
  if (read.success) return read.output;
  const [issue] = read.issues;
  const field = JSON.stringify(`${prefix}${String(issue.path?.[0]?.key ?? '')}`);
  const isMissing = issue.input === undefined;
  throw new StateFault(`${field} is wrong: ${isMissing ? 'it is missing' : issue.message}`);
}

/** @throws {StateFault} */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The engine's own error repeats a piece of the text, and that may be a key.
    throw new StateFault(text.trim() === '' ? 'it is empty' : 'it is not JSON');
  }
}
