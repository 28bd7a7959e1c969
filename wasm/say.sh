# Messages and required programs, for fetch.sh and build.sh, which source this file.

say() { echo "wasm: $*" >&2; }

die() {
  say "$@"
  exit 1
}

# need <program> <Debian package> [advice]: installs a missing program as root on Debian and Ubuntu, or fails.
need() {
  command -v "$1" >/dev/null && return
  if [ "${TOX_WASM_NO_APT:-}" != 1 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing the Debian package $2, because $1 is missing (set TOX_WASM_NO_APT=1 to prevent this)"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2 ||
      die "cannot install $2: run apt-get install $2 and read its error"
    command -v "$1" >/dev/null && return
  fi
  die "$1 is missing: ${3:-install it (Debian and Ubuntu: apt-get install $2; macOS: brew install $1)}, then run this again"
}
