#!/bin/bash
# Builds the release preset and measures Tenure against the floor: one table of ratios on standard output,
# all figures in build/release/bench.json.
#
#   bench/run.sh [--seconds=S] [--rounds=N]      defaults: 2 s a run, 5 pairs of runs a case
set -euo pipefail
cd "$(dirname "$0")/.."

tests/setup.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ cmake --preset release && cmake --build --preset release --target bench_programs; } >"$log" 2>&1 ||
  { cat "$log"; exit 1; }
build/release/bin/tenure_bench --bin=build/release/bin --json=build/release/bench.json "$@"
