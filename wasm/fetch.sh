#!/usr/bin/env bash
# Downloads the third-party sources that vendor/*/sources.json pins to wasm/sources/<name>-<version>/.
# Whatever their origin, every file must have its pinned sha256, and so must the unpacked tree.
#
#   TOX_WASM_SOURCES=<folder>  take the archives only from this folder
#   TOX_WASM_NO_APT=1          never install a package
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd -P)
out=$root/wasm/sources
. "$root/wasm/say.sh"

# pinned <sources.json> <expression over p>: prints a value, or a list with one entry a line.
pinned() {
  node -e '
    const p = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
    const value = new Function("p", `return ${process.argv[2]}`)(p);
    process.stdout.write([value].flat().join("\n") + "\n");
  ' "$1" "$2"
}

# files <sources.json> <origin>: prints "name sha256 unpack url" for each file of an origin.
files() {
  pinned "$1" "p.$2.map((f) => [f.name, f.sha256, f.unpack, f.url ?? '-'].join(' '))"
}

tree_sha256() {
  (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
}

# check <file> <sha256>: rejects a file other than the pinned one.
check() {
  local is
  is=$(sha256sum "$1" | cut -d' ' -f1)
  [ "$is" = "$2" ] && return
  say "rejected ${1##*/}: its sha256 is $is, but vendor/*/sources.json pins $2"
  return 1
}

from_folder() { # <sources.json> <folder to fill>
  local name
  files "$1" debian | while read -r name _; do
    [ -f "$TOX_WASM_SOURCES/$name" ] || { say "$name is missing in TOX_WASM_SOURCES=$TOX_WASM_SOURCES"; return 1; }
    cp "$TOX_WASM_SOURCES/$name" "$2/"
  done
}

# Downloads Debian's source package from the mirror that this machine already uses. A private list names the
# suite, so the machine's own lists stay unchanged. apt checks the signatures.
from_apt() { # <sources.json> <folder to fill>
  local package version suite uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg apt=$work/apt
  command -v apt-get >/dev/null && [ -f "$keyring" ] || return 1
  package=$(pinned "$1" p.apt.package) version=$(pinned "$1" p.apt.version) suite=$(pinned "$1" p.apt.suite)
  uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -n -e 's/^deb \(\[[^]]*\] *\)\{0,1\}\([a-z+]*:[^ ]*debian\/\{0,1\}\) .*/\2/p' -e 's/^URIs: *\([^ ]*debian\/\{0,1\}\) *$/\1/p' | head -n1)
  [ -n "$uri" ] || { say 'found no Debian mirror in the apt sources of this machine; trying the next origin'; return 1; }
  mkdir -p "$apt/lists/partial"
  echo "deb-src [signed-by=$keyring] $uri $suite main" >"$apt/sources.list"
  local options=(-qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$apt/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)
  # Started by root, apt would download as its own user, who cannot write here; hence APT::Sandbox::User.
  say "downloading the Debian source package $package $version"
  (cd "$2" && { [ -e "$apt/updated" ] || { apt-get "${options[@]}" update && touch "$apt/updated"; }; } &&
    apt-get "${options[@]}" source --download-only "$package=$version") >&2
}

from_upstream() { # <sources.json> <folder to fill>
  local name url
  need curl curl
  files "$1" upstream | while read -r name _ _ url; do
    say "downloading $url"
    curl -fsSL --proto '=https' --connect-timeout 15 --max-time 300 --retry 2 -o "$2/$name" "$url" || return 1
  done
}

# unpack <sources.json> <origin> <folder of the files> <tree to fill>: checks and unpacks the pinned files.
unpack() {
  local name sha how
  mkdir -p "$4"
  files "$1" "$2" | while read -r name sha how _; do
    check "$3/$name" "$sha" || return 1
    case $how in
      tar) (cd "$4" && tar -xf "$3/$name" --strip-components=1) || return 1 ;;
      # A patch in Debian's archive that only adds files.
      patch:*) tar -xOf "$3/$name" "${how#patch:}" | patch -s -p1 -d "$4" >&2 || return 1 ;;
      file:*) mkdir -p "$(dirname "$4/${how#file:}")" && cp "$3/$name" "$4/${how#file:}" || return 1 ;;
      *) say "$1 has an unknown value of \"unpack\": '$how'"; return 1 ;;
    esac
  done
}

# bring <sources.json> <origin> <function>: puts the tree in place from one origin.
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
    say "rejected the unpacked tree of $name $version: its sha256 is $is, but vendor/*/sources.json pins $want"
    return 1
  fi
  rm -rf "$out/$name-$version"
  mv "$taken" "$out/$name-$version"
  say "unpacked $name $version to wasm/sources"
}

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
mkdir -p "$out"
if command -v flock >/dev/null; then
  exec 8>"$out/.lock"
  flock 8
  rm -rf "$out"/.fetch.* # left by killed runs
fi
for json in "$root"/vendor/*/sources.json; do
  dir=$out/$(pinned "$json" '`${p.name}-${p.version}`')
  if [ -d "$dir" ] && [ "$(tree_sha256 "$dir")" = "$(pinned "$json" p.tree.sha256)" ]; then continue; fi
  [ -n "$work" ] || work=$(mktemp -d "$out/.fetch.XXXXXX")
  need xz xz-utils
  need patch patch
  if [ -n "${TOX_WASM_SOURCES:-}" ]; then
    bring "$json" debian from_folder || die "TOX_WASM_SOURCES does not have the pinned archives (see above)"
  else
    bring "$json" debian from_apt || bring "$json" upstream from_upstream ||
      die "cannot download $(pinned "$json" '`${p.name} ${p.version}`') from any origin: put the files that ${json#"$root/"} lists under \"debian\" into a folder, and set TOX_WASM_SOURCES to that folder"
  fi
done
