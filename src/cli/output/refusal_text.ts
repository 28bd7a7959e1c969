/** Why a dialled stream came to nothing, for people: a `DialError` says it twice for programs. */
export function refusalText(error: Error): string {
  // By its shape: the command line loads the library late, and asks for nothing but its types before.
  return 'detail' in error && typeof error.detail === 'string' ? error.detail : error.message;
}
