// What stands below the options of each `--help`. Every example is parsed by a test.

export const MAIN = `
Examples:
  $ tox-wasm-tunnel                            listen; prints a ticket and what to run elsewhere
  $ tox-wasm-tunnel --expose 22                listen, and open nothing but SSH
  $ tox-wasm-tunnel TICKET 22                  the listener's SSH at 127.0.0.1:22, or a free port
  $ tox-wasm-tunnel TICKET 22 -p 2222          … at 127.0.0.1:2222
  $ tox-wasm-tunnel TICKET db.lan:5432         … a host that the listener can reach (and exposes)
  $ tox-wasm-tunnel add home TICKET            … and from now on: tox-wasm-tunnel home 22
  $ tox-wasm-tunnel ssh home                   … and SSH without any local port

Exit codes: 0 done or stopped, 1 failed, 2 wrong usage or input, 102, 202, 203 and 204 no way to the
listener, 129, 130 and 143 killed by a second SIGHUP, SIGINT or SIGTERM, with --exec those of the
program. Everything else: docs/README.md, and --help of each command.`;

export const LISTEN = `
Examples:
  $ tox-wasm-tunnel listen                     open ALL ports of this machine's loopback
  $ tox-wasm-tunnel listen --expose 22 --expose 8000-8010           (these and nothing else)
  $ tox-wasm-tunnel listen --expose none                            (only what tickets open)
  $ tox-wasm-tunnel listen --expose db.lan:5432
  $ tox-wasm-tunnel listen --expose /run/app.sock                   (a UNIX socket)
  $ tox-wasm-tunnel listen --expose 22 --allow-reverse 8080         (they may open port 8080)
  $ tox-wasm-tunnel listen --allow-reverse 8080                     (… and reach nothing)
  $ tox-wasm-tunnel listen --expose 22 --max-streams 50 --max-peers 4
  $ tox-wasm-tunnel listen --json | your-program`;

export const CONNECT = `
Examples:
  $ tox-wasm-tunnel connect TICKET 22
  $ tox-wasm-tunnel connect TICKET -L 2222:localhost:22 -L 8080:intra.lan:80
  $ tox-wasm-tunnel connect TICKET -L 0.0.0.0:8080:localhost:80         (other machines may use it)
  $ tox-wasm-tunnel connect TICKET -L [::1]:0:[::1]:5432                (any free local port)
  $ tox-wasm-tunnel connect TICKET -D 1080                              (SOCKS5 and HTTP proxy)
  $ tox-wasm-tunnel connect TICKET -L /tmp/app.sock:/run/app.sock       (UNIX sockets)
  $ tox-wasm-tunnel connect TICKET -R 8080:localhost:80                 (its port 8080 leads here)
  $ tox-wasm-tunnel connect TICKET --udp-forward 5353:localhost:53      (UDP datagrams)
  $ tox-wasm-tunnel connect --ticket-file FILE 22
  $ tox-wasm-tunnel connect - 22 < FILE
  $ tox-wasm-tunnel connect TICKET 5432 --wait 60 -- psql -h 127.0.0.1  (runs it)
  $ tox-wasm-tunnel connect TICKET -L 0:localhost:80 --exec ./job.sh    (by the shell)
  $ ssh -o 'ProxyCommand tox-wasm-tunnel connect --ticket-file FILE -W localhost:%p' home

TICKET on the command line can be read by every user of this machine in the list of processes; it
cannot with --ticket-file, - (standard input) or TOX_WASM_TUNNEL_TICKET in the environment.`;

export const PING = `
Examples:
  $ tox-wasm-tunnel ping TICKET                five times, then the sum
  $ tox-wasm-tunnel ping --ticket-file FILE -c 60
  $ tox-wasm-tunnel ping TICKET --no-udp       by TCP relays

Ends with 1 when the listener is not found within 90 s, or answers nothing.`;

export const DOCTOR = `
Examples:
  $ tox-wasm-tunnel doctor                     this machine's way into the network: UDP, TCP relays
  $ tox-wasm-tunnel doctor TICKET              and to a listener, and by which path
  $ tox-wasm-tunnel doctor TICKET 22           and to what it shall reach

Takes up to 3 minutes when something is wrong. Ends with 0 when all is well, else with 1.`;

export const TICKET = `
Examples:
  $ tox-wasm-tunnel ticket                     print the ticket that listen prints
  $ tox-wasm-tunnel ticket --rotate            replace it; disconnect peers that joined with it
  $ tox-wasm-tunnel ticket new --name ci --expose 8080 --expires 2h --uses 1
  $ tox-wasm-tunnel ticket list
  $ tox-wasm-tunnel ticket revoke ci`;

export const NODE = `
Examples:
  $ tox-wasm-tunnel node                       prints HOST:PORT:KEY, to be given to --bootstrap
  $ tox-wasm-tunnel node --port 33445 --tcp-port 443
  $ tox-wasm-tunnel node --bind 192.0.2.1 --no-lan`;

export const NODES = `
Examples:
  $ tox-wasm-tunnel nodes                      what a tunnel joins the network by
  $ tox-wasm-tunnel nodes --update             fetch a new list from https://nodes.tox.chat/json
  $ tox-wasm-tunnel nodes --update --url https://example.org/nodes.json

A list is used when all of it can be read; else the one before stays.`;

export const PEERS = `
Examples:
  $ tox-wasm-tunnel peers                      who is connected, since when, by which path
  $ tox-wasm-tunnel peers --json
  $ tox-wasm-tunnel peers remove KEY           cut it off; it may come again
  $ tox-wasm-tunnel peers deny KEY             … and it may not`;

export const STATUS = `
Examples:
  $ tox-wasm-tunnel status                     the listener and the connectors of the state folder
  $ tox-wasm-tunnel status --json

Ends with 1 when nothing runs.`;

export const FORWARD = `
Examples:
  $ tox-wasm-tunnel forward list
  $ tox-wasm-tunnel forward add -L 8080:localhost:80 -D 1080
  $ tox-wasm-tunnel forward add -L 0:db.lan:5432 --pid 4711         (where several connectors run)
  $ tox-wasm-tunnel forward add -R 8080:localhost:80
  $ tox-wasm-tunnel forward rm -L 8080                                 (open connections go on)`;

export const RULE = `
Examples:
  $ tox-wasm-tunnel rule list
  $ tox-wasm-tunnel rule add 8080 db.lan:5432
  $ tox-wasm-tunnel rule remove 8080           open connections to it are cut
  $ tox-wasm-tunnel rule add laptop:22         laptop (a peer or ticket) has rules of its own now
  $ tox-wasm-tunnel rule add --allow-reverse 8080      connectors may open port 8080 here by -R
  $ tox-wasm-tunnel rule remove --allow-reverse 8080   … and no more: it is closed`;

export const ID_EXAMPLES = `
Examples:
  $ tox-wasm-tunnel id
  $ tox-wasm-tunnel id --state ./tunnel --json
  $ tox-wasm-tunnel id --export backup.json
  $ tox-wasm-tunnel id --import backup.json --replace
  $ tox-wasm-tunnel id --passphrase-file old.txt --new-passphrase-file new.txt

The passphrase is taken from --passphrase-file FILE or TOX_WASM_TUNNEL_PASSPHRASE.`;

export { ID_EXAMPLES as ID };
