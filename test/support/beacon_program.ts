/** Opens a beacon and dies without deleting it. Arguments: folder and name. */
import { openBeacon } from '../../src/core/socket_file.js';

const [, , folder = '', name = ''] = process.argv;
await openBeacon(folder, name);
process.kill(process.pid, 'SIGKILL');
