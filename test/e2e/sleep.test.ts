/** A laptop that is closed for a while: its processes stop, and the other end receives no notice. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PathTarget } from '../support/path_transfer.js';
import { PrivateNetwork } from '../support/private_network.js';
import { TempFolder } from '../support/temp_folder.js';

const MIB = 1024 * 1024;
const skip = process.platform === 'win32' ? 'needs SIGSTOP' : false;

describe('a sleeping laptop', { skip, concurrency: true }, () => {
  const folder = new TempFolder();
  let network: PrivateNetwork;

  before(async () => {
    network = await PrivateNetwork.start();
  });

  after(async () => {
    await network.stop();
    folder.remove();
  });

  for (const sleeper of ['listener', 'connector'] as const) {
    test(`as a ${sleeper} resumes where it stopped, although the other end considered it gone`, {
      timeout: 180_000,
    }, async () => {
      const target = await PathTarget.start(folder.file(`target-${sleeper}`));
      const near = folder.file(`near-${sleeper}`);
      const { listener, ticket } = await network.listen([target.path]);
      const { connector } = await network.connect(ticket, [`${near}:${target.path}`]);
      const [asleep, awake] = sleeper === 'listener' ? [listener, connector] : [connector, listener];

      const carried = await target.carry(near, 4 * MIB, async () => {
        const gone = awake.nextEvent('peer', ({ status }) => status === 'offline');
        asleep.child.kill('SIGSTOP');
        await gone;
        asleep.child.kill('SIGCONT');
      });

      for (const { got, wanted } of carried) assert.equal(got, wanted);
      await target.stop();
    });
  }
});
