/**
 * The return codes of a tunnel's life, as scripts and logs see them. The hundreds tell the
 * subject: 1xx the friend, 2xx a message to it, 3xx its status.
 */
export const RETURN_CODES = {
  101: 'friend added',
  102: 'friend could not be added',
  103: 'already a friend',
  104: 'friend request sent, waiting to be accepted',
  201: 'message sent',
  202: 'the target is not a friend',
  203: 'sending failed',
  204: 'the target is offline',
  301: 'the target came online',
  302: 'the target went offline',
} as const;

export type ReturnCode = keyof typeof RETURN_CODES;
