/** The worker thread of a node, which dies when anybody posts to the channel `die`. */
import { BroadcastChannel } from 'node:worker_threads';
import '../../src/worker/main.js';

const channel = new BroadcastChannel('die');
channel.onmessage = () => {
  // Not inside of the channel's handler: Node would report it as an error of the message.
  setImmediate(() => {
    throw new Error('planted');
  });
};
channel.unref();
