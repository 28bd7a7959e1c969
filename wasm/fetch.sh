#!/usr/bin/env bash
# Brings the third-party sources that vendor/*/sources.json pins into wasm/sources/<name>-<version>/.
# Every file must have the pinned sha256, and so must the tree that comes out, whatever its origin.
#
#   TOX_WASM_SOURCES=<folder>  take the archives from there, and from nowhere else
#   TOX_WASM_NO_APT=1          never install a package
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd -P)
out=$root/wasm/sources
. "$root/wasm/say.sh"

# pinned <sources.json> <expression over p>: a value, or a list one entry a line.
pinned() {
  node -e '
    const p = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
    const value = new Function("p", `return ${process.argv[2]}`)(p);
    process.stdout.write([value].flat().join("\n") + "\n");
  ' "$1" "$2"
}

# files <sources.json> <origin>: "name sha256 unpack url" of each file of an origin, one a line.
files() {
  pinned "$1" "p.$2.map((f) => [f.name, f.sha256, f.unpack, f.url ?? '-'].join(' '))"
}

tree_sha256() {
  (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
}

# check <file> <sha256>: refuses a file that is not the pinned one.
check() {
  local is
  is=$(sha256sum "$1" | cut -d' ' -f1)
  [ "$is" = "$2" ] && return
  say "refused ${1##*/}: its sha256 is $is, pinned is $2"
  return 1
}

from_folder() { # <sources.json> <folder to fill>
  local name
  files "$1" debian | while read -r name _; do
    [ -f "$TOX_WASM_SOURCES/$name" ] || { say "TOX_WASM_SOURCES=$TOX_WASM_SOURCES has no $name"; return 1; }
    cp "$TOX_WASM_SOURCES/$name" "$2/"
  done
}

# Debian's source package, through the mirror this machine already uses. A private list names the
# suite, so the machine's own lists stay as they are; apt checks the signatures.
from_apt() { # <sources.json> <folder to fill>
  local package version suite uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg apt=$work/apt
  command -v apt-get >/dev/null && [ -f "$keyring" ] || return 1
  package=$(pinned "$1" p.apt.package) version=$(pinned "$1" p.apt.version) suite=$(pinned "$1" p.apt.suite)
  uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -n -e 's/^deb \(\[[^]]*\] *\)\{0,1\}\([a-z+]*:[^ ]*debian\/\{0,1\}\) .*/\2/p' -e 's/^URIs: *\([^ ]*debian\/\{0,1\}\) *$/\1/p' | head -n1)
  [ -n "$uri" ] || { say 'this machine names no Debian mirror'; return 1; }
  mkdir -p "$apt/lists/partial"
  echo "deb-src [signed-by=$keyring] $uri $suite main" >"$apt/sources.list"
  local options=(-qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$apt/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)
  # apt downloads as its own user when it is started by root, and then cannot write here.
  say "bringing $package $version as a Debian source package"
  (cd "$2" && { [ -e "$apt/updated" ] || { apt-get "${options[@]}" update && touch "$apt/updated"; }; } &&
    apt-get "${options[@]}" source --download-only "$package=$version") >&2
}

from_upstream() { # <sources.json> <folder to fill>
  local name url
  need curl curl
  files "$1" upstream | while read -r name _ _ url; do
    say "bringing $url"
    curl -fsSL --proto '=https' --connect-timeout 15 --max-time 300 --retry 2 -o "$2/$name" "$url" || return 1
  done
}

# unpack <sources.json> <origin> <folder of the files> <tree to fill>: checks, then unpacks what is pinned.
unpack() {
  local name sha how
  mkdir -p "$4"
  files "$1" "$2" | while read -r name sha how _; do
    check "$3/$name" "$sha" || return 1
    case $how in
      tar) (cd "$4" && tar -xf "$3/$name" --strip-components=1) || return 1 ;;
      # A patch inside Debian's archive, which only adds files.
      patch:*) tar -xOf "$3/$name" "${how#patch:}" | patch -s -p1 -d "$4" >&2 || return 1 ;;
      file:*) mkdir -p "$(dirname "$4/${how#file:}")" && cp "$3/$name" "$4/${how#file:}" || return 1 ;;
      *) say "$1: no way to unpack '$how'"; return 1 ;;
    esac
  done
}

# bring <sources.json> <origin> <how>: one origin; on success the tree is in place.
bring() {
  local name version got=$work/got tree=$work/tree taken=$work/taken is want
  name=$(pinned "$1" p.name) version=$(pinned "$1" p.version)
  rm -rf "$got" "$tree" "$taken"
  mkdir -p "$got" "$taken"
  "$3" "$1" "$got" || return 1
  unpack "$1" "$2" "$got" "$tree" || return 1
  pinned "$1" p.tree.take | (cd "$tree" && tar -cf - --files-from=- --owner=0 --group=0) | tar -xf - -C "$taken" || return 1
  is=$(tree_sha256 "$taken") want=$(pinned "$1" p.tree.sha256)
  if [ "$is" != "$want" ]; then
    say "refused the tree of $name $version: its sha256 is $is, pinned is $want"
    return 1
  fi
  rm -rf "$out/$name-$version"
  mv "$taken" "$out/$name-$version"
  say "$name $version is in wasm/sources"
}

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
mkdir -p "$out"
if command -v flock >/dev/null; then
  exec 8>"$out/.lock"
  flock 8
  rm -rf "$out"/.fetch.* # of runs that were killed
fi
for json in "$root"/vendor/*/sources.json; do
  dir=$out/$(pinned "$json" '`${p.name}-${p.version}`')
  if [ -d "$dir" ] && [ "$(tree_sha256 "$dir")" = "$(pinned "$json" p.tree.sha256)" ]; then continue; fi
  [ -n "$work" ] || work=$(mktemp -d "$out/.fetch.XXXXXX")
  need xz xz-utils
  need patch patch
  if [ -n "${TOX_WASM_SOURCES:-}" ]; then
    bring "$json" debian from_folder || die "the archives of TOX_WASM_SOURCES are not the pinned ones (see above)"
  else
    bring "$json" debian from_apt || bring "$json" upstream from_upstream ||
      die "no origin gave $(pinned "$json" '`${p.name} ${p.version}`'): put the files that ${json#"$root/"} lists under \"debian\" into a folder and set TOX_WASM_SOURCES to it"
  fi
done
