# Sourced by fetch.sh and build.sh: lines for people, and the programs that they need.

say() { echo "wasm: $*" >&2; }

die() {
  say "$@"
  exit 1
}

# need <program> <Debian package> [what to do elsewhere]
need() {
  command -v "$1" >/dev/null && return
  if [ "${TOX_WASM_NO_APT:-}" != 1 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "$1 is missing: installing the Debian package $2 (TOX_WASM_NO_APT=1 forbids it)"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2 || die "installing $2 failed"
    command -v "$1" >/dev/null && return
  fi
  die "$1 is missing: ${3:-install it (Debian and Ubuntu: apt-get install $2; macOS: brew install $1)} and run this again"
}
