#!/bin/bash
# Builds Tenure and runs its tests. On a bare Debian 12 it first installs what is missing.
#
#   tests/run.sh [--preset NAME] [--all | --unit] [-- ctest arguments...]
#     --preset NAME   release (default), debug, asan or tsan
#     --all           also tests labelled `slow`
#     --unit          only build and run those labelled `unit`
#
# Its last line is "N passed, N failed, N skipped". The exit status is 0 if some passed and none failed.
set -uo pipefail
# ctest would take these for its own.
unset CTEST_PARALLEL_LEVEL CTEST_OUTPUT_ON_FAILURE

cd "$(dirname "$0")/.." || exit 1
root=$PWD

preset=release
target=all
select=(-LE '^slow$')
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --all) select=() ;;
    --unit) target=unit_tests; select=(-L '^unit$' -LE '^slow$') ;;
    --help|-h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --) shift; break ;;
    *) echo "tests/run.sh: what is '$1'? What is meant for ctest comes after --; see --help" >&2; exit 64 ;;
  esac
  shift
done

log=$(mktemp)
junit=$(mktemp)
# Every process that the tests start carries this mark in its environment, so that none outlives them.
mark="TENURE_TEST_RUN=$$-$RANDOM$RANDOM"
leftovers() {
  local file pid
  for file in /proc/[0-9]*/environ; do
    if grep -qzxF "$mark" "$file" 2>/dev/null; then
      pid=${file#/proc/}
      echo "${pid%/environ}"
    fi
  done
}
ctest_pid=
clean_up() {
  local pids
  [ -z "$ctest_pid" ] || kill "$ctest_pid" 2>/dev/null
  pids=$(leftovers)
  [ -z "$pids" ] || kill -KILL $pids 2>/dev/null
  rm -f "$log" "$junit"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {  # before any test ran
  echo "tests/run.sh: $1"
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
}

groups=()
case $preset in asan|tsan) groups=(ci) ;; esac
tests/setup.sh ${groups[@]+"${groups[@]}"} || fail "set-up failed"

quietly() {
  "$@" >"$log" 2>&1 || { cat "$log"; return 1; }
}
echo "Building preset $preset"
quietly cmake --preset "$preset" || fail "configuring failed"
quietly cmake --build --preset "$preset" --target "$target" || fail "the build failed"

# Clang 14's sanitizers cannot place their shadow memory where a recent kernel randomises much.
launcher=()
if [[ $preset = [at]san ]] && setarch "$(uname -m)" -R true 2>/dev/null; then
  launcher=(setarch "$(uname -m)" -R)
fi

: >"$junit"
# In the background, so that a signal to this script is acted on at once. Four at once on two cores,
# as most of them wait; those that are labelled `process` run alone.
env "$mark" ${launcher[@]+"${launcher[@]}"} ctest --test-dir "$root/build/$preset" \
  --parallel "${TENURE_TEST_JOBS:-4}" --timeout 120 --output-on-failure --progress \
  --no-tests=error --output-junit "$junit" ${select[@]+"${select[@]}"} "$@" </dev/null &
ctest_pid=$!
wait "$ctest_pid"
status=$?
ctest_pid=

left=$(leftovers)

# Again at the end, where one looks first; ctest's own list drowns in that of the skipped ones.
awk -f tests/house/failures.awk "$junit"

# ctest's own count, from the report it wrote.
count() {
  sed -n '/<testsuite/,/>/p' "$junit" | tr '\n\t' '  ' | sed -n "s/^[^>]* $1=\"\([0-9]*\)\".*/\1/p"
}
total=$(count tests)
failed=$(count failures)
skipped=$(( $(count skipped || echo 0) + $(count disabled || echo 0) ))
total=${total:-0}
failed=${failed:-0}
if [ -n "$left" ]; then
  echo "The tests left these processes behind:"
  ps -o pid,ppid,stat,args -p "$(echo "$left" | paste -sd,)"
  total=$((total + 1))
  failed=$((failed + 1))
fi
if [ "$total" = 0 ] || { [ "$status" != 0 ] && [ "$failed" = 0 ]; }; then
  echo "tests/run.sh: ctest ended with status $status and reported no failing test"
  total=$((total + 1))
  failed=$((failed + 1))
fi
passed=$((total - failed - skipped))
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
