#!/bin/bash
# check_mutants.sh lets a patch pass that applies, and finds one that does not.
set -uo pipefail
check=$(cd "$(dirname "$0")" && pwd)/check_mutants.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/tests/mutants"
printf 'one\ntwo\nthree\n' >"$scratch/a.cc"
patch_of() { printf '# what\ndiff --git a/a.cc b/a.cc\n--- a/a.cc\n+++ b/a.cc\n@@ -1,3 +1,3 @@\n one\n-%s\n+2\n three\n' "$1"; }
patch_of two >"$scratch/tests/mutants/a.patch"
"$check" "$scratch" || { echo "one that applies is refused"; exit 1; }
cmp -s "$scratch/a.cc" <(printf 'one\ntwo\nthree\n') || { echo "the tree is changed"; exit 1; }
patch_of four >"$scratch/tests/mutants/b.patch"
said=$("$check" "$scratch") && { echo "one that does not apply is let pass"; exit 1; }
grep -q 'b.patch does not apply' <<<"$said" || { echo "it does not say which: $said"; exit 1; }
