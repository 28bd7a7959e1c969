/** The worker thread of a Tox node, which dies when anyone posts to the channel `die`. */
import { BroadcastChannel } from 'node:worker_threads';
import '../../src/worker/main.js';

const channel = new BroadcastChannel('die');
channel.onmessage = () => {
  // Not inside the handler of the channel: Node would report it as an error of the message.
  setImmediate(() => {
    throw new Error('planted');
  });
};
channel.unref();
