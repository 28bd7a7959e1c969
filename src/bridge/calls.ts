// Calls from one thread to the other, for any API. Exceptions do not survive the transfer intact, so a call's
// answer is plain data: a value, or a TunnelError with its code.
import { TunnelError, type WireError } from '../core/errors.js';

/** The answer to a call, as it passes between the threads. */
export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: WireError };

/** The one function that the called thread exposes. */
export type AnswerCall = (method: string, args: readonly unknown[]) => Promise<Answer>;

/** An API as the calling thread sees it: every method returns a promise. */
export type Remote<Api> = {
  readonly [Name in keyof Api]: Api[Name] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Awaited<Result>>
    : never;
};

/**
 * Answers calls with the methods of `api`.
 *
 * @param onFault called for an error that `api` did not throw on purpose: a bug, or a crash of toxcore
 */
export function answerCalls<Api extends object>(api: Api, onFault: (error: unknown) => void): AnswerCall {
  return async (name, args) => {
    try {
      // remoteApi() offers the names of Api's methods only.
      const method = api[name as keyof Api] as (...args: readonly unknown[]) => unknown;
      return { ok: true, value: await Reflect.apply(method, api, args) };
    } catch (error) {
      if (TunnelError.is(error) && error.code !== 'ERR_TOX_CRASHED')
        return { ok: false, error: error.toWire() };
      onFault(error);
      return { ok: false, error: new TunnelError('ERR_WORKER_DIED', String(error)).toWire() };
    }
  };
}

/** Returns the value of an answer. @throws {TunnelError} the error that the other thread answered with */
export function unpack(answer: Answer): unknown {
  if (answer.ok) return answer.value;
  throw TunnelError.fromWire(answer.error);
}

/** Makes an object with the methods of `Api`, which all go through `call`. */
export function remoteApi<Api extends object>(
  call: (method: string, args: readonly unknown[]) => Promise<unknown>,
): Remote<Api> {
  const methods = new Proxy(
    {},
    {
      // Code that awaits or serializes the object looks these up. They are not methods of the API.
      get: (_target, name) =>
        typeof name !== 'string' || name === 'then' || name === 'toJSON'
          ? undefined
          : (...args: readonly unknown[]) => call(name, args),
    },
  );
  return methods as Remote<Api>; // TypeScript cannot type a proxy by its handler
}
