import type { PortOwner } from '../../src/forward/reverse/port_holders.js';
import type { Grant } from '../../src/rules/rule_book.js';

const DEFAULT_GRANT: Grant = { name: 'default', kind: 'ticket', rules: undefined };

/** The peer of a reverse port. It is online and answers, until a test changes that. */
export class FakeOwner implements PortOwner {
  readonly publicKey: string;
  readonly grant: Grant;
  isOnline = true;
  answers = true;

  constructor(publicKey: string, grant: Grant = DEFAULT_GRANT) {
    this.publicKey = publicKey;
    this.grant = grant;
  }

  ping(callback: (roundTripMs: number) => void): void {
    if (this.answers) callback(1);
  }
}
