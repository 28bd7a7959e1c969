import type { TicketInfo } from '../../access/ticket_book.js';
import type { ReturnCode } from '../../core/return_codes.js';
import type { NamedRemote } from '../commands/names.js';
import type { ForwardKind } from '../service/running_forwards.js';

/**
 * What the command tells, to programs as one line of JSON and to people in words. Names and
 * fields are API (`docs/reference/events.md`): add, never rename.
 */
export type CliEvent =
  | {
      readonly event: 'started';
      readonly toxId: string;
      /** Listener: lets others in. A secret; nothing but this event, `ready` and `ticket` has it. */
      readonly ticket?: string;
      /** Listener: what peers may reach, as `--expose` has it. */
      readonly expose?: readonly string[];
      /** Listener: no rule was given, so all of this machine's loopback is open. */
      readonly isDefault?: boolean;
      /** Listener: which ports peers may have opened, as `--allow-reverse` has them. */
      readonly allowReverse?: readonly string[];
      /** Listener: what to run on the other machine. */
      readonly command?: string;
    }
  /** The answer of `service install`. */
  | {
      readonly event: 'service';
      readonly name: string;
      readonly scope: 'system' | 'user';
      readonly unit: string;
      /** What to run next. */
      readonly next: readonly string[];
      /** Where it was written; undefined when it was only printed. */
      readonly file?: string;
    }
  | { readonly event: 'identity'; readonly toxId: string; readonly file: string }
  /** The answer of `id --new-passphrase-file` and `id --remove-passphrase`: the files that were written anew. */
  | { readonly event: 'passphrase'; readonly files: readonly string[]; readonly isEncrypted: boolean }
  | {
      readonly event: 'node';
      readonly bootstrap: string;
      /** The same node under every address of this machine. */
      readonly all: readonly string[];
      readonly udpPort: number;
      /** 0 when there is none. */
      readonly tcpPort: number;
    }
  /** The answer of `ticket`, `ticket new` and `ticket --rotate`. */
  | { readonly event: 'ticket'; readonly name: string; readonly ticket: string }
  /** The answer of `ticket list`. */
  | { readonly event: 'tickets'; readonly tickets: readonly TicketInfo[] }
  /** The answer of `ticket revoke`. */
  | { readonly event: 'revoked'; readonly name: string }
  /** The answer of `add`. */
  | ({ readonly event: 'named' } & NamedRemote)
  /** The answer of `remove`. */
  | { readonly event: 'unnamed'; readonly name: string }
  /** The answer of `list`. */
  | { readonly event: 'names'; readonly names: readonly NamedRemote[] }
  | {
      readonly event: 'forward';
      readonly local: string;
      /** `*` of a proxy. */
      readonly target: string;
      /** Of datagrams; TCP without it. */
      readonly protocol?: 'udp';
      readonly note?: string;
    }
  /** The node is part of the network now; a listener can be reached. */
  | { readonly event: 'ready'; readonly toxId: string; readonly ticket?: string }
  /** One of `ping`; without a round trip when no answer came in time. */
  | {
      readonly event: 'ping';
      readonly number: number;
      readonly roundTripMs?: number;
      readonly path?: 'udp' | 'relay' | 'none';
    }
  /** What `doctor` found: `udp`, `relay`, `peer`, `path`, `target`. */
  | { readonly event: 'check'; readonly check: string; readonly ok: boolean; readonly message: string }
  /** The answer of `nodes`. */
  | {
      readonly event: 'nodes';
      readonly origin: 'named' | 'saved' | 'bundled';
      /** In words. */
      readonly from: string;
      /** As `--bootstrap` takes them. */
      readonly nodes: readonly string[];
    }
  /** The sum of `ping`. */
  | {
      readonly event: 'pings';
      readonly sent: number;
      readonly received: number;
      readonly leastMs?: number;
      readonly meanMs?: number;
      readonly mostMs?: number;
    }
  /** Where `--metrics` is served. */
  | { readonly event: 'metrics'; readonly url: string }
  | { readonly event: 'waiting'; readonly message: string }
  | {
      readonly event: 'peer';
      readonly status: 'online' | 'offline';
      readonly path: 'udp' | 'relay' | 'none';
      readonly code: 301 | 302;
      readonly peer: string;
      /** Online, soon after an event without it: the round trip over that path. */
      readonly roundTripMs?: number;
      /** Offline: how long it was online. */
      readonly onlineMs?: number;
    }
  | {
      readonly event: 'friend' | 'message';
      readonly code: ReturnCode;
      readonly message: string;
      readonly peer?: string;
    }
  | {
      readonly event: 'refused';
      readonly target: string;
      readonly reason: string;
      readonly message: string;
      readonly peer: string;
    }
  | {
      readonly event: 'reverse';
      readonly status: 'asked' | 'open' | 'closed';
      readonly listen: string;
      /** Connector. */
      readonly target?: string;
      readonly peer: string;
    }
  | {
      readonly event: 'closed';
      readonly durationMs: number;
      readonly bytesIn: number;
      readonly bytesOut: number;
    }
  | {
      readonly event: 'error';
      readonly code: string;
      readonly message: string;
      /** Where it is one that the command ends with. */
      readonly returnCode?: ReturnCode;
    }
  /** The answer of `peers`. */
  | { readonly event: 'peers'; readonly peers: readonly unknown[] }
  /** The answer of `rule list`. */
  | {
      readonly event: 'rules';
      readonly rules: readonly string[];
      readonly isDefault: boolean;
      /** As `--allow-reverse` has them. */
      readonly allowReverse: readonly string[];
    }
  /** The answer of `status`. */
  | { readonly event: 'status'; readonly processes: readonly unknown[] }
  /** The answer of `forward list`, and of `forward add` for each that was added. */
  | { readonly event: 'forwards'; readonly pid: number; readonly forwards: readonly unknown[] }
  /** A forward was taken away while the connector runs. */
  | {
      readonly event: 'removed';
      readonly kind: ForwardKind;
      /** Of `reverse` the far end's. */
      readonly local: string;
      readonly target: string;
    }
  /** The running process did as it was told. */
  | {
      readonly event: 'changed';
      /** As `rule.add`. */
      readonly what: string;
      /** Rules, or public keys. */
      readonly items: readonly string[];
      readonly note?: string;
    }
  /** Events that were left out: nobody read the output or, with a message, it could not be written. */
  | { readonly event: 'dropped'; readonly count: number; readonly message?: string };
