#!/bin/bash
# Installs a build into an empty directory, and builds and runs programs that know nothing of Tenure but
# what was installed: through find_package, once with tenure::tenure alone and once with all parts, and
# through pkg-config. The program with tenure::tenure alone must not need gRPC.
#
#   tests/package/run.sh [BUILD_DIR]        default: build/release
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-$here/../../build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

. "$here/common.sh"

# Installed, then moved: nothing in it may remember where it was built or first installed.
quietly cmake --install "$build" --prefix "$scratch/first"
mkdir "$scratch/else where"
mv "$scratch/first" "$scratch/else where/tenure"
prefix="$scratch/else where/tenure"
config=$(find "$prefix" -name tenureConfig.cmake)
[ -n "$config" ] || fail "no tenureConfig.cmake was installed"
libdir=$(cd "$(dirname "$config")/../.." && pwd)
if grep -rnE "$(cd "$build" && pwd)|$(cd "$here/../.." && pwd)|$scratch/first" "$libdir/cmake" "$libdir/pkgconfig"; then
  fail "the installed package names directories of its build"
fi
if find "$prefix/include" -name '*.pb.h' | grep .; then
  fail "generated headers were installed: the schema is internal"
fi

consume() {  # name, extra cmake arguments...
  local name=$1
  shift
  quietly cmake -S "$here/consumer" -B "$scratch/$name" -G Ninja "-DCMAKE_PREFIX_PATH=$prefix" \
    "-DCMAKE_CXX_COMPILER=$compiler" "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher" \
    "-DCMAKE_EXE_LINKER_FLAGS=$fast_link" "$@"
  quietly cmake --build "$scratch/$name"
}

echo "find_package, tenure::tenure alone"
# As on a machine that has neither gRPC nor SQLite.
consume core -DCONSUMER_PART=tenure -DCMAKE_DISABLE_FIND_PACKAGE_gRPC=ON \
  -DCMAKE_DISABLE_FIND_PACKAGE_SQLite3=ON
"$scratch/core/core"
no_grpc "$scratch/core/core"

if [ "$sqlite" = ON ]; then
  echo "find_package, the storage on disk"
  consume disk -DCONSUMER_PART=sqlite -DCMAKE_DISABLE_FIND_PACKAGE_gRPC=ON
  "$scratch/disk/disk" "$scratch/data"
  if ldd "$scratch/disk/disk" | grep -iE 'libgrpc|libgpr'; then
    fail "tenure::sqlite alone links gRPC"
  fi
fi

if [ "$grpc" = ON ]; then
  echo "find_package, all parts"
  consume all -DCONSUMER_PART=all
  "$scratch/all/everything"
  if (no_grpc "$scratch/all/everything") >/dev/null; then
    fail "the check for gRPC sees none in a program that has it"
  fi
  # Asked for by name, a part whose dependency is missing is refused, in words.
  if cmake -S "$here/consumer" -B "$scratch/refused" -G Ninja "-DCMAKE_PREFIX_PATH=$prefix" \
      "-DCMAKE_CXX_COMPILER=$compiler" -DCONSUMER_PART=all -DCMAKE_DISABLE_FIND_PACKAGE_gRPC=ON \
      >"$scratch/log" 2>&1; then
    fail "component all was found without gRPC"
  fi
  grep -q "gRPC, not found" <(tr -s ' \n' '  ' <"$scratch/log") || { cat "$scratch/log"; fail "the refusal does not name gRPC"; }
fi

echo "pkg-config"
export PKG_CONFIG_PATH=$libdir/pkgconfig
compile() {  # package, source, program
  local flags
  # pkg-config escapes the space in the path for a shell.
  flags=$(pkg-config --cflags --libs "$1")
  quietly sh -c "$launcher '$compiler' -std=c++20 -c '$here/consumer/$2' $(pkg-config --cflags "$1") -o '$scratch/$3.o'"
  quietly sh -c "'$compiler' $fast_link '$scratch/$3.o' $flags -o '$scratch/$3'"
}
compile tenure core.cc pkg_core
"$scratch/pkg_core"
no_grpc "$scratch/pkg_core"
if [ "$sqlite" = ON ]; then
  compile tenure-sqlite disk.cc pkg_disk
  "$scratch/pkg_disk" "$scratch/pkg_data"
fi
if [ "$grpc" = ON ]; then
  compile tenure-all all.cc pkg_all
  "$scratch/pkg_all"
fi
echo "The installed package works"
