import { homedir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { TunnelError } from '../../core/errors.js';

const NAME = 'tox-wasm-tunnel';

/** What decides where a user's files are. */
export interface FolderHints {
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The home folder in the system's list of users; undefined for a user without an entry. */
  readonly homeOfUser: () => string | undefined;
}

/** The hints of this process. */
export const systemHints: FolderHints = {
  platform: process.platform,
  env: process.env,
  homeOfUser: () => {
    try {
      // Elsewhere, homedir() would return an empty or relative HOME as it is.
      return process.platform === 'win32' ? homedir() : userInfo().homedir;
    } catch {
      return undefined;
    }
  },
};

/**
 * The state folder when `--state` is missing. Sources: XDG Base Directory Specification; Apple's File System
 * Programming Guide; Microsoft's "Known Folders".
 *
 * @throws {TunnelError} ERR_USAGE for a user without a home folder
 */
export function defaultStateFolder(hints: FolderHints): string {
  const remedy = 'name the state folder with --state DIR';
  if (hints.platform === 'darwin') return join(homeOf(hints, remedy), 'Library', 'Application Support', NAME);
  if (hints.platform === 'win32') {
    const local = folderIn(hints, 'LOCALAPPDATA') ?? join(homeOf(hints, remedy), 'AppData', 'Local');
    return join(local, NAME, 'Data');
  }
  return join(folderIn(hints, 'XDG_DATA_HOME') ?? join(homeOf(hints, remedy), '.local', 'share'), NAME);
}

/** The folder of a user's systemd units. @throws {TunnelError} ERR_USAGE for a user without a home folder */
export function userUnitFolder(hints: FolderHints): string {
  const remedy = 'set XDG_CONFIG_HOME to the folder that holds systemd/user';
  const config = folderIn(hints, 'XDG_CONFIG_HOME') ?? join(homeOf(hints, remedy), '.config');
  return join(config, 'systemd', 'user');
}

/** The specification of the XDG folders: an empty variable counts as unset, and a relative path is ignored. */
function folderIn({ env }: FolderHints, variable: string): string | undefined {
  const folder = env[variable] ?? '';
  return isAbsolute(folder) ? folder : undefined;
}

function homeOf(hints: FolderHints, remedy: string): string {
  const home = folderIn(hints, 'HOME') ?? hints.homeOfUser() ?? '';
  if (isAbsolute(home)) return home;
  throw new TunnelError(
    'ERR_USAGE',
    `this user has no home folder: HOME is not set, and the system knows none; ${remedy}`,
  );
}
