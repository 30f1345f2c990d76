#!/bin/bash
# The rules of the house: who may include whom, and what may not be touched where. Prints each breach as
# file:line: why, and exits with 1 if there is any.
#
#   tests/house/check_floors.sh [ROOT]
#
# Three rules have exceptions, each excused by a comment on its own line or the line above, with a reason:
#   // wall-clock: <why>     reading the time of day in src/ or include/
#   // sleep: <why>          sleeping in a test  ("# sleep: <why>" in a script)
#   // absl-mutex: <why>     including Abseil's synchronization headers
set -uo pipefail
root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 2

found=$(mktemp)
trap 'rm -f "$found"' EXIT

files() {  # DIR...: the C++ files below them
  local dir
  for dir in "$@"; do
    [ ! -d "$dir" ] || find "$dir" -type f \( -name '*.h' -o -name '*.cc' \)
  done | sort
}

# grep over code without its // comments; a line (or the one after it) that carries `excuse:` is let
# pass. Arguments: why, excuse (or -), extended regex; file names on standard input.
ban() {
  local why=$1 excuse=$2 pattern=$3 names
  mapfile -t names
  [ ${#names[@]} -gt 0 ] || return 0
  WHY=$why EXCUSE=$excuse PATTERN=$pattern awk '
    BEGIN { why = ENVIRON["WHY"]; excuse = ENVIRON["EXCUSE"]; pattern = ENVIRON["PATTERN"] }
    FNR == 1 { excused = 0 }
    {
      here = excuse != "-" && $0 ~ ("(//|#) *" excuse ": *[^ ]")
      code = $0
      if (FILENAME ~ /\.sh$/) sub(/(^|[ \t])#.*/, "", code)
      else sub(/\/\/.*/, "", code)
      if (!here && !excused && code ~ pattern) printf "%s:%d: %s\n", FILENAME, FNR, why
      excused = here
    }' "${names[@]}" >>"$found"
}

# Quoted or angled, an include of anything that matches.
ban_include() {  # why, extended regex of the included path's beginning, [excuse]
  ban "$1" "${3:--}" "^[ \t]*#[ \t]*include[ \t]*[<\"]($2)"
}

# ---- Who may include whom --------------------------------------------------------------------------
all_dirs="machine raft loop storage transport member client backends all cli testing proto"
only() {  # floor, its own and the allowed directories of src/...: every other directory is above it
  local floor=$1 dir others=
  shift
  for dir in $all_dirs; do
    case " $floor $* " in *" $dir "*) ;; *) others="$others${others:+|}$dir/" ;; esac
  done
  files "src/$floor" | ban_include "src/$floor may not include this: it lies above, or beside" "$others"
}
only raft
only machine proto
only loop
only storage proto
only transport proto loop
only member raft machine proto
only client
only backends machine raft loop storage transport member client proto
only testing machine raft loop storage transport member client backends proto
only all machine raft loop storage transport member client backends proto

optional='tenure/(grpc|sqlite|etcd|testing)/'
handles='tenure/(tenure|coordinator|session|mutex|semaphore|election|idempotency|local|member)\.h'
seams='tenure/(backend|loop|transport|storage)\.h'
files src/raft src/machine | ban_include "raft and machine stand on the ground: types and Abseil" \
  "$optional|$handles|$seams|grpc|hiredis|sqlite3"
files src/raft | ban_include "raft sees bytes, not the schema" "tenure/v1/|google/protobuf"
files src/client | ban_include "client imports backend.h, loop.h and types.h, not what lies behind them" \
  "$optional|tenure/(tenure|transport|storage|member)\.h|tenure/v1/|google/protobuf|grpc"
files src/member src/loop | ban_include "the actor knows the seams, not what implements them" "$optional|grpc"
files include/tenure | grep -v '^include/tenure/grpc/' |
  ban_include "a public header speaks neither gRPC nor protobuf" "grpc|google/protobuf|tenure/v1/"
files include/tenure/grpc | ban_include "the schema is internal" "tenure/v1/"
files include/tenure | grep -vE '^include/tenure/(grpc|sqlite|etcd|testing)/' |
  ban_include "a core header includes no optional part" "$optional"
# shellcheck disable=SC2086
files include/tenure | ban_include "a public header includes nothing that is not installed" \
  "$(echo $all_dirs | sed 's/ /\/|/g')/|src/|tests/"
files src include | ban_include "the library includes no test, benchmark or example" "tests/|bench/|examples/|gtest|gmock"

# ---- What the pure floors may not touch ------------------------------------------------------------
pure() { files src/raft src/machine; }
pure | ban_include "raft and machine have no threads, clocks or global randomness" \
  "thread>|mutex>|shared_mutex>|condition_variable>|future>|semaphore>|latch>|barrier>|atomic>|random>|chrono>|ctime>|time\.h>|sys/time|absl/time/clock|absl/random|absl/synchronization|unistd|sys/|fstream>|iostream>"
pure | ban "raft and machine read no clock" - \
  "absl::(Now|GetCurrentTime)|(system|steady|high_resolution)_clock|clock_gettime|gettimeofday|(^|[^_A-Za-z0-9:.>])time\\("
pure | ban "raft and machine start no threads and take no locks" - \
  "std::(thread|jthread|mutex|async|atomic)|absl::Mutex|thread_local|pthread_"
pure | ban "raft and machine draw randomness from their seed alone" - \
  "random_device|absl::(BitGen|InsecureBitGen)|std::mt19937|(^|[^_A-Za-z0-9])s?rand(om)?\\("

# ---- What the library may not touch ----------------------------------------------------------------
files src include | ban "the time of day decides nothing" wall-clock \
  "absl::(Now|GetCurrentTimeNanos)\\(|system_clock|CLOCK_REALTIME|gettimeofday|(^|[^_A-Za-z0-9.>])(std::)?time\\((nullptr|NULL|0|&)"
files src include | grep -v '^src/cli/' | ban "a library does not own its process: no signal handlers, no output, no exit" - \
  "(^|[^_A-Za-z0-9])(sigaction|std::signal|signal)\\(|std::(cout|cerr|clog)|(^|[^_A-Za-z0-9])(std::)?(printf|puts|exit|_exit)\\("

# The packaged Abseil is not instrumented: what its Mutex guards looks unguarded to the thread sanitizer,
# and what std::mutex guards does not.
files src include tests | ban_include "use <mutex> and its neighbours: the thread sanitizer sees those" \
  "absl/synchronization" absl-mutex

# ---- What tests may not do -------------------------------------------------------------------------
{ files tests; find tests -type f -name '*.sh' 2>/dev/null; } | grep -v '^tests/house/' | sort |
  ban "tests wait for what they need, they do not sleep" sleep \
    "sleep_for|sleep_until|absl::SleepFor|(^|[^_A-Za-z0-9])(usleep|nanosleep|clock_nanosleep)\\(|(^|[^_A-Za-z0-9.>])sleep\\(|(^|[;&|({ \t])sleep [0-9\$\"]"

if [ -s "$found" ]; then
  sort -u "$found"
  echo "$(sort -u "$found" | wc -l) breaches of the house's rules; tests/house/check_floors.sh says what they are"
  exit 1
fi
