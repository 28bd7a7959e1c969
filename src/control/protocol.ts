import * as v from 'valibot';
import { ERROR_CODES, TunnelError, type TunnelErrorCode } from '../core/errors.js';

// Each direction carries one JSON object per line. The server answers a question before it reads the next.

/** Increase it when an older program could misunderstand a question or an answer. */
export const CONTROL_VERSION = 1;

/** Longest question, in bytes: a rule or a ticket needs a few hundred. */
export const MAX_QUESTION_BYTES = 64 * 1024;
/** Longest answer, in bytes: enough for thousands of peers or tickets. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

export interface Question {
  readonly method: string;
  readonly params: unknown;
}

const QuestionSchema = v.object({
  version: v.number(),
  method: v.pipe(v.string(), v.maxLength(64)),
  params: v.optional(v.unknown()),
});

const AnswerSchema = v.variant('ok', [
  v.object({ version: v.number(), ok: v.literal(true), result: v.optional(v.unknown()) }),
  v.object({ version: v.number(), ok: v.literal(false), code: v.string(), message: v.string() }),
]);

export function questionLine({ method, params }: Question): string {
  return `${JSON.stringify({ version: CONTROL_VERSION, method, params })}\n`;
}

/** @throws {TunnelError} ERR_CONTROL for anything but a question of this version */
export function parseQuestion(line: string): Question {
  const read = v.safeParse(QuestionSchema, jsonOf(line));
  if (!read.success) throw new TunnelError('ERR_CONTROL', 'not a tox-wasm-tunnel request');
  const { version, method, params } = read.output;
  if (version !== CONTROL_VERSION) throw otherVersion(version);
  return { method, params };
}

export function answerLine(result: unknown): string {
  return `${JSON.stringify({ version: CONTROL_VERSION, ok: true, result })}\n`;
}

export function errorLine(error: TunnelError): string {
  const { code, message } = error;
  return `${JSON.stringify({ version: CONTROL_VERSION, ok: false, code, message })}\n`;
}

/**
 * Returns the result in an answer.
 *
 * @throws {TunnelError} the error that the other process answered with; ERR_CONTROL for anything but an answer of
 *   this version
 */
export function parseAnswer(line: string): unknown {
  const read = v.safeParse(AnswerSchema, jsonOf(line));
  if (!read.success)
    throw new TunnelError(
      'ERR_CONTROL',
      'the answer is malformed; run the same tox-wasm-tunnel for both processes',
    );
  const answer = read.output;
  if (answer.version !== CONTROL_VERSION) throw otherVersion(answer.version);
  if (answer.ok) return answer.result;
  const code = isCode(answer.code) ? answer.code : 'ERR_CONTROL';
  throw TunnelError.fromWire({ code, message: answer.message, remote: false, stack: undefined });
}

function isCode(code: string): code is TunnelErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function otherVersion(version: number): TunnelError {
  return new TunnelError(
    'ERR_CONTROL',
    `the other process speaks version ${version} of the control protocol, this one version ${CONTROL_VERSION}; run the same tox-wasm-tunnel for both`,
  );
}

const NEWLINE = 0x0a;

/** Splits a stream of bytes into lines of a limited length. */
export class Lines {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Returns the lines that `chunk` completes, without their newlines.
   *
   * @returns undefined when a line is too long; do not push any more then
   */
  push(chunk: Buffer): string[] | undefined {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      if (!this.#keep(chunk.subarray(from, end))) return undefined;
      lines.push(Buffer.concat(this.#parts).toString('utf8'));
      this.#parts = [];
      this.#bytes = 0;
      from = end + 1;
    }
    return this.#keep(chunk.subarray(from)) ? lines : undefined;
  }

  #keep(part: Buffer): boolean {
    this.#bytes += part.length;
    if (this.#bytes > this.#maxBytes) return false;
    if (part.length > 0) this.#parts.push(part);
    return true;
  }
}
