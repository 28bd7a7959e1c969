/** The passphrase of the state files. */
export const PASSPHRASE_VARIABLE = 'TOX_WASM_TUNNEL_PASSPHRASE';
/** The ticket, kept out of the process list. */
export const TICKET_VARIABLE = 'TOX_WASM_TUNNEL_TICKET';
/** A proxy, whose URL may hold a password. */
export const PROXY_VARIABLE = 'TOX_WASM_TUNNEL_PROXY';

/**
 * Removes all variables that hold secrets from the environment and returns them. Commands that do not use
 * them remove them too, so that no child process and no worker inherits a secret.
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
