/**
 * Return codes of the events of a tunnel, as scripts and logs see them. The first digit gives the subject: 1
 * the friend, 2 a message to it, 3 its status.
 *
 * @example
 * ```ts
 * tunnel.on('code', ({ code }) => console.log(code, RETURN_CODES[code]));
 * ```
 */
export const RETURN_CODES = {
  101: 'friend added',
  102: 'friend could not be added',
  103: 'already a friend',
  104: 'friend request sent; the listener answers once it is online',
  201: 'message sent',
  202: 'the target is not a friend',
  203: 'sending failed',
  204: 'the target is offline',
  301: 'the target came online',
  302: 'the target went offline',
} as const;

export type ReturnCode = keyof typeof RETURN_CODES;
