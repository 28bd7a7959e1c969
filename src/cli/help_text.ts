// What stands below the options of each `--help`. Every example is parsed by a test.

export const MAIN = `
Examples:
  $ tox-wasm-tunnel                            listen; prints a Tox ID and the command for the other side
  $ tox-wasm-tunnel --expose 22                listen, and open nothing but SSH
  $ tox-wasm-tunnel TOX_ID 22                  reach SSH of the listener at 127.0.0.1:22, or a free port
  $ tox-wasm-tunnel TOX_ID 22 -p 2222          … at 127.0.0.1:2222
  $ tox-wasm-tunnel TOX_ID db.lan:5432         … a host that the listener can reach (and exposes)

Exit codes: 0 done or stopped, 1 failed, 2 wrong usage or input, 129, 130 and 143 killed by a second
SIGHUP, SIGINT or SIGTERM. Everything else: docs/cli.md, and --help of each command.`;

export const LISTEN = `
Examples:
  $ tox-wasm-tunnel listen                     open this machine's loopback
  $ tox-wasm-tunnel listen --expose 22 --expose 8000-8010
  $ tox-wasm-tunnel listen --expose db.lan:5432
  $ tox-wasm-tunnel listen --json | your-program`;

export const CONNECT = `
Examples:
  $ tox-wasm-tunnel connect TOX_ID 22
  $ tox-wasm-tunnel connect TOX_ID -L 2222:localhost:22 -L 8080:intra.lan:80
  $ tox-wasm-tunnel connect TOX_ID -L 0.0.0.0:8080:localhost:80   (other machines may use it)
  $ tox-wasm-tunnel connect TOX_ID -L [::1]:0:[::1]:5432              (any free local port)
  $ tox-wasm-tunnel connect TOX_ID -D 1080                            (SOCKS5 and HTTP proxy)
  $ ssh -o 'ProxyCommand tox-wasm-tunnel connect TOX_ID -W localhost:%p' home`;

export const NODE = `
Examples:
  $ tox-wasm-tunnel node                       prints HOST:PORT:KEY, to be given to --bootstrap
  $ tox-wasm-tunnel node --port 33445 --tcp-port 443
  $ tox-wasm-tunnel node --bind 192.0.2.1 --no-lan`;

export const ID_EXAMPLES = `
Examples:
  $ tox-wasm-tunnel id
  $ tox-wasm-tunnel id --state ./tunnel --json`;

export { ID_EXAMPLES as ID };
