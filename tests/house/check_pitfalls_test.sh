#!/bin/bash
# check_pitfalls.sh catches what it is for, and --fix mends what can be mended.
set -uo pipefail
check=$(cd "$(dirname "$0")" && pwd)/check_pitfalls.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# A page with all lines, in a tree with two tests and a scenario; the row of T9 and the tests may be others.
tree() {  # tests of T9 on the page, text of a test file
  rm -rf "$scratch/tree"
  mkdir -p "$scratch/tree/docs" "$scratch/tree/tests/raft/scenarios"
  local line
  for line in C{1..27} L{1..22} T{1..17} E{1..5} I{1..6} X{1..6}; do
    case $line in
      C1) echo '| C1 | what | where | `c1_counting.txt` |' ;;
      T9) printf '| T9 | what | where | %s |\n' "$1" ;;
      *) echo "| $line | what | where | not touched yet: comes later |" ;;
    esac
  done >"$scratch/tree/docs/pitfalls.md"
  touch "$scratch/tree/tests/raft/scenarios/c1_counting.txt"
  printf '%b\n' "$2" >"$scratch/tree/tests/a_test.cc"
}
want() {  # breach|ok, of what
  if "$check" "$scratch/tree" >"$scratch/out" 2>&1; then verdict=ok; else verdict=breach; fi
  if [ "$verdict" != "$1" ]; then
    echo "want $1, got $verdict: $2"
    cat "$scratch/out"
    failures=$((failures + 1))
  fi
}
plant() { tree "$2" "$3"; want "$1" "$2: $3"; }  # breach|ok, as above

plant ok '`S.T9_Agree`' 'TEST(S, T9_Agree) {'
plant ok '`S.T9Agree`' 'TEST_F(S, T9Agree) {'
plant ok '`S.T9Agree`' 'TEST_P(S,\n       T9Agree) {'
plant ok '`PitfallT9.Agree`' 'TEST(PitfallT9, Agree) {'
plant ok '`S.Agree`' 'TEST(S, Agree) {'
plant ok 'not touched yet: comes later' 'TEST(S, Agree) {'
plant breach '' 'TEST(S, Agree) {'
plant breach 'not touched yet:' 'TEST(S, Agree) {'
plant breach '`S.T9_Agree`' 'TEST(S, Agree) {'
plant breach 'not touched yet: comes later' 'TEST(S, T9_Agree) {'
plant breach '`S.T9_Agree`' 'TEST(S, T9_Agree) {\nTEST(S, T9_Differ) {'
plant breach '`S.T9_Agree`' 'TEST(S, T9_Agree) {\nTEST(S, T9X2_Both) {'
plant breach '`S.T9_Agree`, not touched yet: more' 'TEST(S, T9_Agree) {'
plant breach '`S.T9_Agree`' 'TEST(S, T9_Agree) {\nTEST(S, T99_NoSuchLine) {'
tree '`S.T9_Agree`' 'TEST(S, T9_Agree) {'
rm "$scratch/tree/tests/raft/scenarios/c1_counting.txt"
want breach "a scenario that is gone"
tree '`S.T9_Agree`' 'TEST(S, T9_Agree) {'
sed -i '/^| E3 /d' "$scratch/tree/docs/pitfalls.md"
want breach "a line that is gone"

tree '`S.T9_Gone`, `S.Other`' 'TEST(S, T9_Agree) {\nTEST(S, Other) {\nTEST(S, X2L1_Both) {'
"$check" --fix "$scratch/tree"
want ok "what --fix wrote"
for row in '| T9 | what | where | `S.Other`, `S.T9_Agree` |' '| L1 | what | where | `S.X2L1_Both` |'; do
  grep -qxF "$row" "$scratch/tree/docs/pitfalls.md" || {
    echo "--fix did not write: $row"
    failures=$((failures + 1))
  }
done

[ "$failures" = 0 ] || { echo "$failures failed"; exit 1; }
