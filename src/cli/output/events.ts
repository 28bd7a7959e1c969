import type { TicketInfo } from '../../access/ticket_book.js';
import type { ReturnCode } from '../../core/return_codes.js';

/** The kinds of forwards: `-L`, `-D`, `-R`, `--udp-forward`. */
export type ForwardKind = 'local' | 'dynamic' | 'reverse' | 'udp';

/** The listener behind a name, without the secret of the ticket. */
export interface NamedRemote {
  readonly name: string;
  readonly kind: 'ticket' | 'toxId';
  /** Public key of the listener, 64 hexadecimal digits. */
  readonly peer: string;
}

/**
 * What commands report: to programs as one line of JSON, to people in words. Names and fields are API
 * (`docs/reference/events.md`): add new ones, but never rename one.
 */
export type CliEvent =
  | {
      readonly event: 'started';
      readonly toxId: string;
      /** Listener: lets connectors in. A secret; only this event, `ready` and `ticket` contain it. */
      readonly ticket?: string;
      /** Listener: what peers may reach, in the syntax of `--expose`. */
      readonly expose?: readonly string[];
      /** Listener: no rule was given, so the whole loopback of this machine is open. */
      readonly isDefault?: boolean;
      /** Listener, with `isDefault`: the TCP ports of the loopback that answer now, as far as they can be found. */
      readonly answering?: readonly number[];
      /** Listener: the rules among them that `rule add --save` saved. Those of -R begin with `--allow-reverse`. */
      readonly saved?: readonly string[];
      /** Listener: ports that peers may open with `-R`, in the syntax of `--allow-reverse`. */
      readonly allowReverse?: readonly string[];
      /** Listener: the command to run on the other machine. */
      readonly command?: string;
    }
  /** Result of `service install`. */
  | {
      readonly event: 'service';
      readonly name: string;
      readonly scope: 'system' | 'user';
      readonly unit: string;
      /** Commands to run next. */
      readonly next: readonly string[];
      /** The file that was written; undefined with `--print`. */
      readonly file?: string;
    }
  | { readonly event: 'identity'; readonly toxId: string; readonly file: string }
  /** Result of `id --new-passphrase-file` and `id --remove-passphrase`: the files that were rewritten. */
  | { readonly event: 'passphrase'; readonly files: readonly string[]; readonly isEncrypted: boolean }
  | {
      readonly event: 'node';
      readonly bootstrap: string;
      /** The same bootstrap node under every address of this machine. */
      readonly all: readonly string[];
      readonly udpPort: number;
      /** 0 when there is no relay. */
      readonly tcpPort: number;
    }
  /** Result of `ticket`, `ticket new` and `ticket --rotate`. */
  | { readonly event: 'ticket'; readonly name: string; readonly ticket: string }
  /** Result of `ticket list`. */
  | { readonly event: 'tickets'; readonly tickets: readonly TicketInfo[] }
  /** Result of `ticket revoke`. */
  | { readonly event: 'revoked'; readonly name: string }
  /** Result of `add`. */
  | ({ readonly event: 'named' } & NamedRemote)
  /** Result of `remove`. */
  | { readonly event: 'unnamed'; readonly name: string }
  /** Result of `list`. */
  | { readonly event: 'names'; readonly names: readonly NamedRemote[] }
  | {
      readonly event: 'forward';
      readonly local: string;
      /** `*` for a proxy. */
      readonly target: string;
      /** Set for UDP forwards; the others carry TCP. */
      readonly protocol?: 'udp';
      readonly note?: string;
    }
  /** The Tox node has joined the network. From now on a listener is reachable. */
  | { readonly event: 'ready'; readonly toxId: string; readonly ticket?: string }
  /** One ping; without a round trip when no answer came in time. */
  | {
      readonly event: 'ping';
      readonly number: number;
      readonly roundTripMs?: number;
      readonly path?: 'udp' | 'relay' | 'none';
    }
  /** One finding of `doctor`: `network`, `dns`, `udp`, `nat`, `relay`, `peer`, `path`, `target`. */
  | { readonly event: 'check'; readonly check: string; readonly ok: boolean; readonly message: string }
  /** Result of `nodes`. */
  | {
      readonly event: 'nodes';
      readonly origin: 'named' | 'saved' | 'bundled';
      /** The origin in words. */
      readonly from: string;
      /** In the syntax of `--bootstrap`. */
      readonly nodes: readonly string[];
    }
  /** Summary of `ping`. */
  | {
      readonly event: 'pings';
      readonly sent: number;
      readonly received: number;
      readonly leastMs?: number;
      readonly meanMs?: number;
      readonly mostMs?: number;
    }
  /** Where `--metrics` serves. */
  | { readonly event: 'metrics'; readonly url: string }
  | { readonly event: 'waiting'; readonly message: string }
  | {
      readonly event: 'peer';
      readonly status: 'online' | 'offline';
      readonly path: 'udp' | 'relay' | 'none';
      readonly code: 301 | 302;
      readonly peer: string;
      /** Online: the round trip over that path. An event without it comes shortly before. */
      readonly roundTripMs?: number;
      /** Offline: how long the peer was online. */
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
      /** Connector only. */
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
      /** Set when the command ends with a return code. */
      readonly returnCode?: ReturnCode;
    }
  /** SIGHUP was handled. */
  | {
      readonly event: 'reloaded';
      /** False when something is wrong in a file: then nothing has changed. */
      readonly ok: boolean;
      /** What has changed, or what is wrong. */
      readonly message: string;
      /** Options that have changed and need a restart. */
      readonly restart: readonly string[];
    }
  /** Result of `peers`. */
  | { readonly event: 'peers'; readonly peers: readonly unknown[] }
  /** Result of `rule list`. */
  | {
      readonly event: 'rules';
      readonly rules: readonly string[];
      readonly isDefault: boolean;
      /** In the syntax of `--allow-reverse`. */
      readonly allowReverse: readonly string[];
    }
  /** Result of `status`. */
  | { readonly event: 'status'; readonly processes: readonly unknown[] }
  /** Result of `forward list`, and of `forward add` for each forward. */
  | { readonly event: 'forwards'; readonly pid: number; readonly forwards: readonly unknown[] }
  /** Connector: the forwards are in a connector that is already running, with the same ticket. */
  | { readonly event: 'lent'; readonly pid: number }
  /** A running connector has removed a forward. */
  | {
      readonly event: 'removed';
      readonly kind: ForwardKind;
      /** Where it listened; for `reverse`, at the listener. */
      readonly local: string;
      readonly target: string;
    }
  /** The running process has made the change. */
  | {
      readonly event: 'changed';
      /** The method, such as `rule.add`. */
      readonly what: string;
      /** Rules, forwards or public keys. */
      readonly items: readonly string[];
      /** `rule` with --save: the change is kept. */
      readonly saved?: true;
      readonly note?: string;
    }
  /**
   * Events that were dropped because the reader was too slow or, with a message, because the output could not
   * be written.
   */
  | { readonly event: 'dropped'; readonly count: number; readonly message?: string };
