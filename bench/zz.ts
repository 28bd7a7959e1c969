import { planOf } from '../test/world/plan.js';
import { Host, ipText } from '../test/world/net.js';
import { TcpEnd } from '../test/world/tcp.js';
import { runWorld } from '../test/world/world.js';
const names = new Map<TcpEnd, string>(); let n = 0;
const now = (h: Host) => (h.site.net.clock.nowMs / 1000).toFixed(2);
const oc = Host.prototype.connectTcp;
let host: Host;
Host.prototype.connectTcp = function (to) { const e = oc.call(this, to); const nm = `c${n++} ${this.ips.map(ipText)} > ${ipText(to.ip)}:${to.port}`; host = this; names.set(e, nm); console.log(now(this), 'connect', nm); return e; };
for (const m of ['refuse', 'close', 'join'] as const) { const o = TcpEnd.prototype[m] as (...a: unknown[]) => unknown; TcpEnd.prototype[m] = function (this: TcpEnd, ...a: unknown[]) { if (names.has(this)) console.log(now(host), m, names.get(this), 'unread', this.unreadBytes); return o.apply(this, a); } as never; }
const out = await runWorld(planOf(272));
console.log(out.broken);
process.exit(0);
