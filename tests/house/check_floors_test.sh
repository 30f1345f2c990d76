#!/bin/bash
# check_floors.sh catches what it is for: each line below, planted alone in an empty tree, must be found,
# or, with `ok`, let pass.
set -uo pipefail
check=$(cd "$(dirname "$0")" && pwd)/check_floors.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

plant() {  # breach|ok, file, text
  rm -rf "$scratch/tree"
  mkdir -p "$scratch/tree/$(dirname "$2")"
  printf '%b\n' "$3" >"$scratch/tree/$2"
  if "$check" "$scratch/tree" >"$scratch/out" 2>&1; then verdict=ok; else verdict=breach; fi
  if [ "$verdict" != "$1" ]; then
    echo "want $1, got $verdict: $2: $3"
    cat "$scratch/out"
    failures=$((failures + 1))
  fi
}

plant breach src/raft/a.cc '#include "machine/machine.h"'
plant breach src/raft/a.cc '#include "tenure/v1/log.pb.h"'
plant breach src/raft/a.cc '#include "tenure/loop.h"'
plant breach src/raft/a.cc '#include <thread>'
plant breach src/raft/a.cc 'auto t = absl::Now();'
plant breach src/raft/a.cc 'int r = rand();'
plant ok src/raft/a.cc '#include "raft/log.h"\n#include "tenure/raft_types.h"\n#include "absl/types/span.h"'
plant ok src/raft/a.cc 'core.set_time(now);  // absl::Now() decides nothing'
plant ok src/machine/a.cc '#include "tenure/v1/command.pb.h"'
plant breach src/machine/a.cc '#include "raft/core.h"'
plant breach src/machine/a.cc '#include "tenure/backend.h"'
plant breach src/machine/a.cc 'std::mutex m;'
plant ok src/member/a.cc '#include "raft/core.h"\n#include "machine/machine.h"\n#include "tenure/storage.h"'
plant breach src/member/a.cc '#include "client/session.h"'
plant breach src/member/a.cc '#include <grpcpp/grpcpp.h>'
plant ok src/client/a.cc '#include "tenure/backend.h"\n#include "tenure/mutex.h"'
plant breach src/client/a.cc '#include "transport/link.h"'
plant breach src/client/a.cc '#include "tenure/transport.h"'
plant breach src/client/a.cc '#include "tenure/v1/client.pb.h"'
plant ok src/backends/a.cc '#include "client/session.h"\n#include "tenure/v1/client.pb.h"'
plant breach src/backends/a.cc '#include "cli/flags.h"'
plant breach include/tenure/a.h '#include <grpcpp/grpcpp.h>'
plant breach include/tenure/a.h '#include "tenure/v1/log.pb.h"'
plant breach include/tenure/a.h '#include "raft/core.h"'
plant breach include/tenure/a.h '#include "tenure/grpc/transport.h"'
plant ok include/tenure/grpc/a.h '#include <grpcpp/grpcpp.h>'
plant breach src/member/a.cc 'auto t = absl::Now();'
plant breach src/member/a.cc 'auto t = absl::Now();  // wall-clock:'
plant ok src/member/a.cc 'auto t = absl::Now();  // wall-clock: a log line for people'
plant ok src/member/a.cc '// wall-clock: a log line for people\nauto t = absl::Now();'
plant breach src/member/a.cc 'std::cerr << 1;'
plant ok src/cli/a.cc 'std::cerr << 1;'
plant breach src/client/a.cc '#include "gtest/gtest.h"'
plant breach src/loop/a.cc '#include "absl/synchronization/mutex.h"'
plant breach tests/a/a_test.cc 'std::this_thread::sleep_for(x);'
plant ok tests/a/a_test.cc 'usleep(10);  // sleep: the poll of a process that tells nobody when it is up'
plant breach tests/a/a.sh 'start; sleep 1'
plant ok tests/a/a.sh 'start  # do not sleep 1'

[ "$failures" = 0 ] || { echo "$failures failed"; exit 1; }
