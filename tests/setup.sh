#!/bin/sh
# Installs what a bare Debian 12 lacks for building and running Tenure. Quiet and quick when there is
# nothing to do; asks the network for nothing then.
#
#   tests/setup.sh [GROUP...]     what everyone needs, and these groups besides:
#     ci      Clang and its tools, for .ci/run and the presets asan and tsan
#     bench   Redis and etcd, which the benchmarks measure against
set -eu

packages="g++ cmake ninja-build git pkg-config ccache mold patch procps
  libabsl-dev libssl-dev libprotobuf-dev protobuf-compiler libgrpc++-dev
  protobuf-compiler-grpc
  libgtest-dev libgmock-dev libbenchmark-dev libcli11-dev nlohmann-json3-dev libhiredis-dev libsqlite3-dev"

for group in "$@"; do
  case $group in
    ci) packages="$packages clang clang-format clang-tidy util-linux" ;;
    bench) packages="$packages redis-server etcd-server" ;;
    *) echo "tests/setup.sh: there is no group '$group'; there are: ci bench" >&2; exit 64 ;;
  esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "tests/setup.sh: not a Debian; taking it that these are there:" $packages >&2
  exit 0
fi

# One question for all of them. A provided name (pkg-config is pkgconf's on newer Debians) counts.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n${db:Status-Status} ${Provides}\n' |
  sed -n 's/^installed //p' | tr -d ',' | tr ' ' '\n' | sort -u)
missing=
for package in $packages; do
  printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "tests/setup.sh: these are missing, and there is no sudo to install them:$missing" >&2
    exit 69
  fi
  root=sudo
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing with apt-get:$missing"
# Servers that come along are for tests to start, not for the machine to run.
for step in "update" "install -y --no-install-recommends $missing"; do
  # shellcheck disable=SC2086
  if ! $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
      apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 $step >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    echo "tests/setup.sh: apt-get $step failed" >&2
    exit 69
  fi
done
