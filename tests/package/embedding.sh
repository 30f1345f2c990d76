#!/bin/bash
# A project that has Tenure's sources within it, by add_subdirectory: what it gets and what not. With
# --whole it also builds the library there, which takes as long as it takes, and runs programs.
#
#   tests/package/embedding.sh [--whole] [BUILD_DIR]        default: build/release, for its compiler
set -euo pipefail
whole=
[ "${1:-}" != --whole ] || { whole=1; shift; }
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-$here/../../build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
. "$here/common.sh"

# Tests, benchmarks, examples and the program are for whoever builds Tenure itself, and so are warnings as
# errors: the embedding project may warn of more than we do.
quietly cmake -S "$here/embedding" -B "$scratch/build" -G Ninja "-DTENURE_SOURCE=$here/../.." \
  -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS=-g0 -Wconversion" "-DCMAKE_CXX_COMPILER=$compiler" \
  "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher" "-DCMAKE_EXE_LINKER_FLAGS=$fast_link"
targets=$(ninja -C "$scratch/build" -t targets all)
grep -q '^core:' <<<"$targets" || fail "an embedding project has no tenure::tenure"
if [ "$grpc" = ON ]; then
  grep -q '^everything:' <<<"$targets" || fail "an embedding project has no tenure::all"
fi
if grep -E '^[^:]*(_test|unit_tests|_program|bench[^:/]*|/bin/[^:]*):' <<<"$targets"; then
  fail "a project that embeds Tenure gets these targets"
fi
if ninja -C "$scratch/build" -t commands core | grep -e -Werror; then
  fail "a project that embeds Tenure gets warnings as errors"
fi
if [ -z "$whole" ]; then
  # That headers are found, and the schema where it is generated.
  mapfile -t objects < <(grep -oE '^[^:]*(consumer/core|tenure_machine.dir/codec)\.cc\.o' <<<"$targets")
  [ ${#objects[@]} = 2 ] || fail "want two objects, found: ${objects[*]}"
  quietly ninja -C "$scratch/build" "${objects[@]}"
  echo "Another project may embed the sources"
  exit
fi
quietly ninja -C "$scratch/build" core
"$scratch/build/core"
no_grpc "$scratch/build/core"
if [ "$grpc" = ON ]; then
  quietly ninja -C "$scratch/build" everything
  "$scratch/build/everything"
fi
echo "Another project may embed the sources, and its programs work"
