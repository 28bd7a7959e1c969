/** Faults to plant in the product, to see that worlds catch them. */
export interface Plant {
  /** The file below src/. */
  readonly file: string;
  readonly text: string;
  readonly instead: string;
}

export const PLANTS: Readonly<Record<string, Plant>> = {
  'drop-retransmission': {
    file: 'worker/channel/bundles/outgoing_bundles.ts',
    text: '(this.bundles.isUrgent(slot) ? this.#urgent : this.#lost).push(slot);',
    instead: 'if (number % 8 !== 0) (this.bundles.isUrgent(slot) ? this.#urgent : this.#lost).push(slot);',
  },
  'forget-resume': {
    file: 'worker/channel_set.ts',
    text: "    else if (row.path === 'none') row.channel.thaw(nowMs);\n",
    instead: '',
  },
  'forget-room': {
    file: 'ring/main_rings.ts',
    text: 'if (!channel.takeRoom() && !ringHasRoom) continue;',
    instead: 'continue;',
  },
  'leak-stream': {
    file: 'mux/session/session.ts',
    text: '    if (!this.#closed) this.#shut(reason, false);\n',
    instead: '',
  },
  'accept-stale-session': {
    file: 'mux/wire/agreement.ts',
    text: 'return isIdAt(before.ourSession, now.ourSession, 0) && isIdAt(before.theirSession, now.theirSession, 0);',
    instead: 'return true;',
  },
  'accept-stale-packet': {
    file: 'worker/channel/reliable_channel.ts',
    text: 'if (tagOf(packet) !== this.#tag) {',
    instead: 'if (false) {',
  },
  'lose-end': {
    file: 'mux/stream/receive_half.ts',
    text: '    this.#finalOffset = offset;\n',
    instead: '    if (offset % 5 !== 0) this.#finalOffset = offset;\n',
  },
};
