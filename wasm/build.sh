#!/usr/bin/env bash
# Builds wasm/dist/tox.wasm and wasm/dist/build.json from wasm/*.c and the sources that fetch.sh downloads.
# Does nothing when both are up to date. Builds are reproducible: the same inputs produce the same bytes.
#
#   TOX_WASM_NO_APT=1  never install a package
#   JOBS=<n>           number of parallel compilers; default: all cores
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
dist=wasm/dist
build=wasm/build
. wasm/say.sh

# -O3: speed matters more than size. SIMD is for Salsa20 (libsodium's SSE2 file). No threads, exceptions or JavaScript.
compile=(-c -O3 -msimd128 -mbulk-memory -mnontrapping-fptoint -fno-strict-aliasing -std=gnu11 -g0 -D_GNU_SOURCE)
# toxcore's asserts stay enabled: see bridge.c.
toxcore=(-Wno-everything)
# In wasm donna32 and the 32-bit field arithmetic are faster, so HAVE_TI_MODE stays unset.
sodium=(-Wno-everything -DNDEBUG -DCONFIGURED=1 -DNATIVE_LITTLE_ENDIAN=1 -DHAVE_WEAK_SYMBOLS=1 -DHAVE_C_VARARRAYS=1)
bridge=(-Wall -Wextra -Werror -Wno-unused-parameter -Wno-nullability-completeness -Wno-nullability-extension)
link=(-O3 -msimd128 -mbulk-memory -mnontrapping-fptoint -g0 -sSTANDALONE_WASM --no-entry -sEXPORTED_FUNCTIONS=[]
  -sINITIAL_MEMORY=16777216 -sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=536870912 -sTOTAL_STACK=1048576
  -sFILESYSTEM=0 -sERROR_ON_UNDEFINED_SYMBOLS=0 -sABORTING_MALLOC=0)

# One hash of everything that determines the result, except the compiler.
hash_of() { sha256sum "$@" | sha256sum | cut -d' ' -f1; }
vendored() { find vendor -type f ! -name README.md | sort; }
inputs=$(hash_of wasm/build.sh wasm/exports.txt wasm/imports.txt wasm/*.c wasm/*.h $(vendored))

emcc_version() {
  local version
  version=$(dirname "$(readlink -f "$(command -v emcc)")")/emscripten-version.txt
  if [ -f "$version" ]; then tr -d '" \n' <"$version"; else emcc --version | sed -n '1s/.* \([0-9][0-9.]*\).*/\1/p'; fi
}

# True when dist matches the inputs and the compiler's version. Without a compiler, only the inputs count.
fresh() {
  [ -f $dist/tox.wasm ] && [ -f $dist/build.json ] || return 1
  local has want
  has=$(node -e '
    const b = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
    process.stdout.write([b.inputs, process.argv[2] ? b.emscripten : "", b.sha256].join(" "));
  ' $dist/build.json "$(command -v emcc || true)")
  want="$inputs $(command -v emcc >/dev/null && emcc_version || true) $(sha256sum <$dist/tox.wasm | cut -d' ' -f1)"
  [ "$has" = "$want" ]
}
if fresh; then exit 0; fi

# If two builds run at once, the second waits and then finds the work done. Without flock both build, each
# in its own folder, and the renames at the end keep dist consistent.
mkdir -p $build $dist
if command -v flock >/dev/null; then
  exec 9>$build/lock
  flock -n 9 || { say 'waiting for another build to finish'; flock 9; }
  if fresh; then exit 0; fi
  rm -rf $build/run.* # left by killed builds, because this one holds the lock
fi

need emcc emscripten 'install emscripten (Debian and Ubuntu: apt-get install emscripten; macOS: brew install emscripten; or https://emscripten.org)'
need patch patch
wasm/fetch.sh
emscripten=$(emcc_version)
jobs=${JOBS:-$(nproc 2>/dev/null || sysctl -n hw.ncpu)}
work=$(mktemp -d "$build/run.XXXXXX")
trap 'rm -rf "$root/$work"' EXIT

source_of() { echo wasm/sources/"$(node -p 'const p = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8")); `${p.name}-${p.version}`' "vendor/$1/sources.json")"; }

# compile_into <folder> <flags>: compiles the sources on stdin (one relative path a line) to objects in the
# folder. The paths are relative, so no path of this machine gets into an object.
compile_into() {
  local into=$1
  mkdir -p "$into"
  shift
  EMCC_FLAGS="$*" INTO=$(cd "$into" && pwd -P) xargs -P "$jobs" -n 1 bash -o pipefail -c '
    case $0 in
      # system.c defines this name itself.
      toxcore/os_network.c) extra=-Dos_network=os_network_posix ;;
      */salsa20_xmm6int-sse2.c | */stream_salsa20.c) extra="-msse2 -DHAVE_EMMINTRIN_H=1" ;;
      *) extra= ;;
    esac
    # clang warns that wasm has no target("sse2"), which libsodium asks for. Emscripten'"'"'s header maps it to SIMD128.
    { emcc $EMCC_FLAGS $extra "$0" -o "$INTO/$(echo "$0" | tr / _).o" 2>&1 || exit 255; } |
      { grep -v "is not a recognized feature for this target" >&2 || true; }
  '
}

started=$(date +%s)
# Third-party code seldom changes, so its objects are cached under a key of everything that determines them.
key=$( { echo "$emscripten" "${compile[@]}" "${toxcore[@]}" "${sodium[@]}"; declare -f compile_into; hash_of $(vendored); } | sha256sum | cut -c1-16)
kept=$build/vendor-$key
if [ ! -d "$kept" ]; then
  say "compiling toxcore and libsodium with emscripten $emscripten, $jobs at a time"
  for part in toxcore libsodium; do
    cp -R "$(source_of $part)" "$work/$part"
    for patch in vendor/$part/patches/*.patch; do
      [ -f "$patch" ] || continue
      patch -s -p1 -F0 -d "$work/$part" <"$patch" >&2 || die "$patch does not apply: adapt it to the new version of $part"
    done
  done
  # libsodium's configure script would write this header. Nothing reads its numbers.
  sed -e 's/@VERSION@/1.0.22/' -e 's/@SODIUM_LIBRARY_VERSION_M[A-Z]*@/0/' -e '/@SODIUM_LIBRARY_MINIMAL_DEF@/d' \
    "$work/libsodium/src/libsodium/include/sodium/version.h.in" >"$work/libsodium/src/libsodium/include/sodium/version.h"
  include=$root/$work/libsodium/src/libsodium/include
  objects=$root/$work/kept
  (cd "$work/toxcore" && compile_into "$objects/o" "${compile[@]}" "${toxcore[@]}" -I. -I../libsodium/src/libsodium/include <"$root/vendor/toxcore/compile.txt") ||
    die 'toxcore does not compile (see the errors above)'
  (cd "$work/libsodium" && compile_into "$objects/o" "${compile[@]}" "${sodium[@]}" -Isrc/libsodium/include -Isrc/libsodium/include/sodium <"$root/vendor/libsodium/compile.txt") ||
    die 'libsodium does not compile (see the errors above)'
  mkdir -p "$objects/include"
  cp -R "$work/toxcore/toxcore" "$include/." "$objects/include/"
  rm -rf $build/vendor-*
  mv "$objects" "$kept"
fi

say 'compiling wasm/*.c and linking'
ls wasm/*.c | sed 's|^wasm/||' | (cd wasm && compile_into "$root/$work/bridge" "${compile[@]}" "${bridge[@]}" -isystem "../$kept/include" -I.) ||
  die 'wasm/*.c do not compile (see the errors above)'
(cd "$work" && emcc "${link[@]}" bridge/*.o "../../../$kept"/o/*.o -o tox.wasm) 2>"$work/link.log" || {
  cat "$work/link.log" >&2
  die 'linking failed (see the errors above)'
}

# The binary must have exactly the exports and imports of the two lists.
node -e '
  const { readFileSync } = require("node:fs");
  const module = new WebAssembly.Module(readFileSync(process.argv[1]));
  const lines = (file) => readFileSync(file, "utf8").split("\n").filter((line) => line !== "").sort();
  const faces = {
    "wasm/exports.txt": WebAssembly.Module.exports(module).map((e) => e.name).sort(),
    "wasm/imports.txt": WebAssembly.Module.imports(module).map((i) => `${i.module} ${i.name}`).sort(),
  };
  for (const [file, is] of Object.entries(faces)) {
    const want = lines(file);
    const surplus = is.filter((name) => !want.includes(name));
    const missing = want.filter((name) => !is.includes(name));
    if (surplus.length + missing.length === 0) continue;
    console.error(`wasm: ${file} differs from the binary: the binary also has [${surplus.join(", ")}] and lacks [${missing.join(", ")}]`);
    process.exitCode = 1;
  }
' "$work/tox.wasm" || die 'nothing was built: correct the list, or the code (docs/wasm.md, "Add an export")'

sha=$(sha256sum <"$work/tox.wasm" | cut -d' ' -f1)
node -e '
  const { readFileSync } = require("node:fs");
  const [sha256, inputs, emscripten, bytes, compile, toxcore, libsodium, link] = process.argv.slice(1);
  const version = (part) => JSON.parse(readFileSync(`vendor/${part}/sources.json`, "utf8")).version;
  const flags = { compile, toxcore, libsodium, link };
  const record = { sha256, bytes: Number(bytes), toxcore: version("toxcore"), libsodium: version("libsodium"), emscripten, flags, inputs };
  process.stdout.write(`${JSON.stringify(record, null, 2)}\n`);
' "$sha" "$inputs" "$emscripten" "$(wc -c <"$work/tox.wasm" | tr -d ' ')" "${compile[*]}" "${toxcore[*]}" "${sodium[*]}" "${link[*]}" >"$work/build.json"
chmod 644 "$work/tox.wasm"
# The record comes last: if it is missing or its sha256 differs, the next run builds again.
mv "$work/tox.wasm" $dist/tox.wasm
mv "$work/build.json" $dist/build.json
say "built wasm/dist/tox.wasm in $(($(date +%s) - started)) s: $(wc -c <$dist/tox.wasm | tr -d ' ') bytes, sha256 ${sha:0:16}…"
