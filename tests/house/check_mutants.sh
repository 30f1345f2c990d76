#!/bin/bash
# Every planted bug of tests/mutants still applies to the code: what runs them takes a few at a time.
#
#   tests/house/check_mutants.sh [TREE]
set -uo pipefail
tree=$(cd "${1:-$(dirname "$0")/../..}" && pwd) || exit 1
failed=0
for patch in "$tree"/tests/mutants/*.patch; do
  # As tests/mutants/run.sh does it, changing nothing.
  if ! said=$(cd "$tree" && patch -p1 --fuzz=3 --dry-run --force <"$patch" 2>&1); then
    echo "${patch#"$tree"/} does not apply:"
    sed 's/^/    /' <<<"$said"
    failed=1
  fi
done
exit "$failed"
