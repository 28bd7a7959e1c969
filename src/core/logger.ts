/** From the rarest to the most frequent. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Where a library says what it does. It never writes anywhere by itself. */
export interface Logger {
  /** The most frequent level that it wants; what only deeper ones would show is not even found out. Default info. */
  readonly level?: LogLevel;
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Says nothing: the default. */
export const silentLogger: Logger = { log: () => {} };
