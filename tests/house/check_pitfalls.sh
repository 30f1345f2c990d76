#!/bin/bash
# docs/pitfalls.md names the tests that there are: fails if one that it names does not exist, if one that
# is named after a line is missing there, or if a line has neither a test nor a word on what will bring it.
#
#   tests/house/check_pitfalls.sh [--fix] [ROOT]      --fix writes the tests into the page
#
# A test is named after the lines that its name begins with: L10_ARetry..., T9NoTwo..., L2T6ADead..., a
# suite PitfallC14, a scenario c14_....txt.
set -uo pipefail
fix=
[ "${1:-}" != --fix ] || { fix=1; shift; }
root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 2
page=docs/pitfalls.md
[ -f "$page" ] || { echo "$page is missing"; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Every test that there is: "Suite.Name" or "scenario.txt", one a line. A macro's names may be on the next
# line.
{
  find tests -name '*.cc' -print0 | sort -z | xargs -0 -r cat | tr '\n' ' ' |
    grep -oE '(^| )TEST(_F|_P|_SANITIZED)?\( *[A-Za-z0-9_]+, *[A-Za-z0-9_]+\)' |
    sed -E 's/.*\( *([A-Za-z0-9_]+), *([A-Za-z0-9_]+)\)/\1.\2/'
  find tests -path '*/scenarios/*.txt' | sed 's|.*/||'
} | sort -u >"$scratch/tests"

# "LINE test", for those that are named after a line.
awk '
  function of(prefix,   n, i, parts) {
    gsub(/_/, "", prefix)
    while (match(prefix, /^[CLTEIX][0-9]+/)) {
      print substr(prefix, 1, RLENGTH), $0
      prefix = substr(prefix, RLENGTH + 1)
    }
  }
  /\.txt$/ { if (match($0, /^([cltiex][0-9]+_)+/)) of(toupper(substr($0, 1, RLENGTH))); next }
  {
    split($0, name, ".")
    if (match(name[1], /^Pitfall([CLTEIX][0-9]+)+$/)) of(substr(name[1], 8))
    if (match(name[2], /^([CLTEIX][0-9]+_?)+/) && substr(name[2], RLENGTH + 1) ~ /^[A-Z]/)
      of(substr(name[2], 1, RLENGTH))
  }' "$scratch/tests" | sort -u >"$scratch/named"

awk -v fix="$fix" -v out="$scratch/page" '
  function complain(what) { print "docs/pitfalls.md:" FNR ": " what; bad = 1 }
  FILENAME ~ /tests$/ { exists[$1] = 1; next }
  FILENAME ~ /named$/ { wanted[$1] = wanted[$1] " " $2; next }
  /^\| [CLTEIX][0-9]+ \|/ {
    columns = split($0, cell, / \| /)
    line = substr(cell[1], 3)
    tests = cell[columns]
    sub(/ \|$/, "", tests)
    if (columns != 4) complain(line ": want four columns")
    if (line in seen) complain(line " stands here twice")
    seen[line] = 1
    # What is written there, and exists; then what the sources have besides.
    split("", listed)
    cells = ""
    rest = tests
    while (match(rest, /`[^`]*`/)) {
      test = substr(rest, RSTART + 1, RLENGTH - 2)
      rest = substr(rest, RSTART + RLENGTH)
      if (test in exists) {
        if (!(test in listed)) cells = cells (cells == "" ? "" : ", ") "`" test "`"
        listed[test] = 1
      } else if (!fix) {
        complain(line " names " test ", which does not exist")
      }
    }
    count = split(wanted[line], names, " ")
    for (i = 1; i <= count; ++i) {
      if (names[i] in listed) continue
      listed[names[i]] = 1
      cells = cells (cells == "" ? "" : ", ") "`" names[i] "`"
      if (!fix) complain(line " does not name " names[i])
    }
    if (cells == "") {
      if (tests !~ /^not touched yet: .../) complain(line " has no test, and nothing says what will bring one")
      cells = tests
    } else if (tests ~ /not touched yet/ && !fix) {
      complain(line " is touched: it has tests")
    }
    print cell[1] " | " cell[2] " | " cell[3] " | " cells " |" >out
    next
  }
  { print >out }
  END {
    for (line in wanted) if (!(line in seen)) { print "docs/pitfalls.md: has no line " line ", after which tests are named:" wanted[line]; bad = 1 }
    for (i = split("C27 L22 T17 E5 I6 X6", last, " "); i > 0; --i)
      for (n = substr(last[i], 2); n > 0; --n)
        if (!((substr(last[i], 1, 1) n) in seen)) { print "docs/pitfalls.md: line " substr(last[i], 1, 1) n " is gone"; bad = 1 }
    exit bad
  }' "$scratch/tests" "$scratch/named" "$page"
status=$?
if [ -n "$fix" ]; then
  cat "$scratch/page" >"$page"
elif [ "$status" != 0 ]; then
  echo "tests/house/check_pitfalls.sh --fix writes the tests into the page"
fi
exit "$status"
