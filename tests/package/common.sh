# What the tests of the package share; to be sourced with `build` and `scratch` set.
fail() { echo "FAILED: $*"; exit 1; }
quietly() {
  "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "$*"; }
}
setting() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
# An honest consumer has neither our flags nor our include directories; ccache, mold and the compiler are
# the machine's.
compiler=$(setting CMAKE_CXX_COMPILER)
grpc=$(setting TENURE_BUILD_GRPC)
sqlite=$(setting TENURE_BUILD_SQLITE)
launcher=$(command -v ccache || true)
fast_link=$(! command -v mold >/dev/null || echo -fuse-ld=mold)

# Neither among the libraries that a program loads nor among the names that it uses.
no_grpc() {
  readelf -d "$1" | grep -q NEEDED || fail "$1: readelf finds no dynamic section"
  if ldd "$1" | grep -iE 'libgrpc|libgpr|sqlite|libssl'; then
    fail "$1 links what tenure::tenure alone must not need"
  fi
  if nm -C "$1" | grep -E '(^|[^a-z_:])(grpc|grpc_core|grpc_event_engine|sqlite3)(::|_)'; then
    fail "$1 uses what tenure::tenure alone must not need"
  fi
}
