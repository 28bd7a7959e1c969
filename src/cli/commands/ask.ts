import { callListener } from '../../control/client.js';
import type { OutputFlags } from '../options/flags.js';
import type { Context } from '../service/serve.js';

export interface AskFlags extends OutputFlags {
  readonly state?: string;
}

/** Asks the listener that runs with the state folder. @throws {TunnelError} ERR_CONTROL, or what it refused with */
export async function ask(
  { io }: Context,
  { state }: AskFlags,
  method: string,
  params: unknown = {},
): Promise<unknown> {
  return callListener(state ?? (await io.stateFolder()), method, params, io.timers);
}
