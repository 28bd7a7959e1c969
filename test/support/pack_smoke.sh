#!/usr/bin/env bash
# What npm would publish, tried as its users get it: packed, looked through, installed into an
# empty folder, run. One line a step; the first that fails ends it.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly MAX_UNPACKED_BYTES=$((2 * 1024 * 1024))

fail() {
  printf 'pack: %s\n' "$*" >&2
  exit 1
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

[ -s wasm/dist/tox.wasm ] || fail "wasm/dist/tox.wasm is missing: run wasm/build.sh first"
rm -rf dist
npm run --silent build
npm pack --silent --pack-destination "$folder" >/dev/null
tarball=$(echo "$folder"/*.tgz)
[ -s "$tarball" ] || fail "npm pack made no tarball"
printf 'packed: %s, %s bytes\n' "$(basename "$tarball")" "$(stat -c %s "$tarball")"

# Anything beside these is a file that users do not need, or worse, one that is not ours to publish.
allowed='^package/(package\.json|README\.md|CHANGELOG\.md|LICENSE|docs/[a-z_]+\.md|wasm/dist/(tox\.wasm|build\.json)|dist/([a-z0-9_]+/)*[a-z0-9_]+(\.js|\.d\.ts))$'
files=$(tar -tzf "$tarball")
strange=$(grep -Ev "$allowed" <<<"$files" || true)
[ -z "$strange" ] || fail "these do not belong into the tarball: $(tr '\n' ' ' <<<"$strange")"
for wanted in dist/cli/main.js dist/index.js dist/index.d.ts wasm/dist/tox.wasm README.md LICENSE; do
  grep -qx "package/$wanted" <<<"$files" || fail "$wanted is not in the tarball"
done
printf 'files: %s, nothing that does not belong there\n' "$(wc -l <<<"$files")"

unpacked=$(tar -xzOf "$tarball" | wc -c)
[ "$unpacked" -le "$MAX_UNPACKED_BYTES" ] || fail "$unpacked bytes unpacked, at most $MAX_UNPACKED_BYTES"
printf 'unpacked: %s bytes of at most %s\n' "$unpacked" "$MAX_UNPACKED_BYTES"

mkdir "$folder/user"
(
  cd "$folder/user"
  npm init --yes >/dev/null
  npm install --silent --no-audit --no-fund "$tarball"
)
printf 'installed: %s packages\n' "$(cd "$folder/user" && npm ls --all --parseable | tail -n +2 | wc -l)"

installed() { (cd "$folder/user" && npx --no-install tox-wasm-tunnel "$@"); }
version=$(node -p 'require("./package.json").version')
printed=$(installed --version)
[ "$printed" = "$version" ] || fail "--version printed \"$printed\", not \"$version\""
printf 'version: %s\n' "$printed"

help=$(installed --help)
for word in Usage: connect listen node id --bootstrap; do
  grep -q -e "$word" <<<"$help" || fail "--help does not name $word"
done
printf 'help: %s lines\n' "$(wc -l <<<"$help")"

(cd "$folder/user" && node --input-type=module -e "
  const face = await import('tox-wasm-tunnel');
  for (const name of ['listen', 'connect']) {
    if (typeof face[name] !== 'function') throw new Error('the package exports no ' + name + '()');
  }
  console.log('face: ' + Object.keys(face).sort().join(' '));
")

node --import tsx test/support/pack_tunnel.ts node "$folder/user/node_modules/tox-wasm-tunnel/dist/cli/main.js"
