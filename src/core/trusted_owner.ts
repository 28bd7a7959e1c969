/** Whether we trust what a user has put somewhere: this user, or root, who can do everything anyway. */
export function isTrustedOwner(uid: number): boolean {
  return process.platform === 'win32' || uid === 0 || uid === process.geteuid?.();
}
