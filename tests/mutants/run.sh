#!/bin/bash
# Plants bugs, one at a time, and sees to it that the suite catches each: every patch here brings back
# a line of "What others got wrong". Works on a copy of the tree, in build/mutants.
#
#   tests/mutants/run.sh                 all of them
#   tests/mutants/run.sh NAME...         these (a part of a name is enough)
#   tests/mutants/run.sh --some N [--from K]   N of them, from the K-th on; K moves on by the hour
#   tests/mutants/run.sh --list          their names
#   ... --table FILE                     puts the result into FILE, between its two mutants marks
#
# A patch begins with lines that say what it plants and what has to catch it:
#   # C1: an entry of an older term is committed by counting copies
#   # test: BINARY FILTER      a GoogleTest binary and a filter: has to fail (may be repeated)
#   # seeds: N                 tenure_sim has to find a violation among its first N seeds
# What fails without the patch, too, catches nothing. A patch that does not apply, does not build, or is
# missed by anything that it names is a failure. The last line is "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
root=$PWD

some= from= table= chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --some) some=${2:?--some needs a number}; shift ;;
    --from) from=${2:?--from needs a number}; shift ;;
    --table) table=${2:?--table needs a file}; shift ;;
    --list) for patch in tests/mutants/*.patch; do basename "$patch" .patch; done; exit 0 ;;
    --help|-h) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "tests/mutants/run.sh: what is '$1'? See --help" >&2; exit 64 ;;
    *) chosen+=("$1") ;;
  esac
  shift
done

all=(tests/mutants/*.patch)
patches=()
if [ -n "$some" ]; then
  from=${from:-$(($(date +%s) / 3600 * some % ${#all[@]}))}
  echo "$some of ${#all[@]} mutants, --from $from"
  for ((i = 0; i < some && i < ${#all[@]}; ++i)); do patches+=("${all[(from + i) % ${#all[@]}]}"); done
elif [ ${#chosen[@]} -gt 0 ]; then
  for name in "${chosen[@]}"; do
    for patch in "${all[@]}"; do [[ $patch != *"$name"* ]] || patches+=("$patch"); done
  done
else
  patches=("${all[@]}")
fi
[ ${#patches[@]} -gt 0 ] || { echo "tests/mutants/run.sh: no such mutant; see --list" >&2; exit 64; }

work=$root/build/mutants
tree=$work/tree
# Where the release build lies in its own tree, and configured like it, so that ccache has seen most of it.
build=$tree/build/release
log=$work/log
mkdir -p "$tree" && find "$tree" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} + &&
  tar --exclude=./build --exclude=./.git -cf - . | tar -C "$tree" -xf - || exit 1
# What an earlier run patched was rebuilt since, or not; its time tells nothing.
sed -n 's|^+++ b/||p' "${all[@]}" | sort -u | (cd "$tree" && xargs touch -c)
export CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1

head_of() { sed -n '/^diff /q;s/^# //p' "$1"; }
tests_of() { head_of "$1" | sed -n 's/^test: //p'; }
seeds_of() { head_of "$1" | sed -n 's/^seeds: //p'; }
targets_of() {
  tests_of "$1" | cut -d' ' -f1
  [ -z "$(seeds_of "$1")" ] || echo tenure_sim
}
make() { cmake --build "$build" --target "$@" >"$log" 2>&1; }
TIMEFORMAT='%U %S'
# Runs a command in silence; leaves its status in $status and its CPU seconds in $cpu.
measure() {
  { time timeout 300 "$@" >"$log" 2>&1 </dev/null; } 2>"$work/time"
  status=$?
  cpu=$(awk '{printf "%.1f", $1 + $2}' "$work/time")
}

(cd "$tree" && cmake --preset release) >"$log" 2>&1 ||
  { cat "$log"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }

# Without any patch: everything passes that has to fail with one.
targets=$(for patch in "${patches[@]}"; do targets_of "$patch"; done | sort -u)
make $targets || { tail -n 40 "$log"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
[ ! -x "$build/bin/tenure_sim" ] || cp "$build/bin/tenure_sim" "$work/sim_without"
passed=0 failed=0 rows=()
while read -r binary filter; do
  [ -n "$binary" ] || continue
  measure "$build/bin/$binary" --gtest_filter="$filter"
  if [ "$status" != 0 ] || ! grep -q '^\[  PASSED  \] [1-9]' "$log"; then
    echo "without any patch, $binary --gtest_filter=$filter does not pass"
    failed=$((failed + 1))
  fi
done < <(for patch in "${patches[@]}"; do tests_of "$patch"; done | sort -u)

for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch)
  what=$(head_of "$patch" | head -n 1)
  by=() seeds= seconds= problem=
  if ! (cd "$tree" && patch -p1 --fuzz=3 --no-backup-if-mismatch -s <"$root/$patch") >"$log" 2>&1; then
    problem="does not apply"
  elif ! make $(targets_of "$patch" | sort -u); then
    problem="does not build"
  fi
  if [ -z "$problem" ]; then
    while read -r binary filter; do
      [ -n "$binary" ] || continue
      measure "$build/bin/$binary" --gtest_filter="$filter"
      if grep -q '^\[  FAILED  \]' "$log" || [ "$status" -gt 128 ]; then
        by+=("$binary ($cpu s)")
      else
        problem="missed by $binary --gtest_filter=$filter"
      fi
    done < <(tests_of "$patch")
    budget=$(seeds_of "$patch")
    if [ -n "$budget" ]; then
      measure "$build/bin/tenure_sim" --first-seed=1 --count="$budget"
      seeds=$(sed -n 's/^seed [0-9]* violates after \([0-9]*\) seeds.*/\1/p' "$log")
      seconds=$cpu
      if [ "$status" != 1 ] || [ -z "$seeds" ]; then
        problem="${problem:+$problem; }missed by $budget seeds (status $status, $cpu s)"
      elif ! timeout 60 "$work/sim_without" --seed="$seeds" >/dev/null 2>&1; then
        problem="${problem:+$problem; }seed $seeds violates without it, too"
      fi
      sed -n 's/^seed [0-9]* violates after [^:]*: /    /p' "$log" | cut -c1-160
    fi
  fi
  # By the files themselves: with fuzz, the way back may end elsewhere.
  while read -r file; do cp "$root/$file" "$tree/$file"; done < <(sed -n 's|^+++ b/||p' "$patch")
  if [ -n "$problem" ]; then
    failed=$((failed + 1))
    echo "MISSED  $name: $problem"
    [ "$problem" != "does not apply" ] && [ "$problem" != "does not build" ] || tail -n 15 "$log"
    by=("**$problem**")
  else
    passed=$((passed + 1))
    echo "caught  $name: ${by[*]}${seeds:+${by:+ and }in $seeds seeds, $seconds s}"
  fi
  rows+=("| $what | ${by[*]:--} | ${seeds:--} | ${seconds:--} |")
done

if [ -n "$table" ]; then
  {
    sed '/<!-- mutants: begin/q' "$table"
    echo "| planted | caught by | seeds | CPU s |"
    echo "|---|---|---|---|"
    printf '%s\n' "${rows[@]}"
    sed -n '/<!-- mutants: end/,$p' "$table"
  } >"$work/table" && cp "$work/table" "$table"
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
