/** Opens the state file. */
export const PASSPHRASE_VARIABLE = 'TOX_WASM_TUNNEL_PASSPHRASE';
/** Where a ticket may stand that is not to be seen in the list of processes. */
export const TICKET_VARIABLE = 'TOX_WASM_TUNNEL_TICKET';

/** A proxy, whose URL may hold a password. */
export const PROXY_VARIABLE = 'TOX_WASM_TUNNEL_PROXY';

/**
 * Takes the variables that hold secrets out of the environment, whether the command has a use for
 * them or not, so that nothing that comes after has them in its copy of it.
 */
export function takeSecretVariables(environment: Record<string, string | undefined>): Map<string, string> {
  const taken = new Map<string, string>();
  for (const name of [PASSPHRASE_VARIABLE, TICKET_VARIABLE, PROXY_VARIABLE]) {
    const value = environment[name];
    if (value !== undefined) taken.set(name, value);
    delete environment[name];
  }
  return taken;
}
