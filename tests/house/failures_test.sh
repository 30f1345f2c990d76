#!/bin/bash
# A failed test is named with what tells why, as ctest 3.25 reports it; one that passed is not.
set -euo pipefail
cd "$(dirname "$0")"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
cat >"$report" <<'XML'
<testsuite name="x" tests="4" failures="3">
	<testcase name="a.Passes" classname="a.Passes" time="0.1" status="run">
		<system-out>a.cc:1: Failure
</system-out>
	</testcase>
	<testcase name="b.Fails/x  # GetParam() = &quot;x&quot;" classname="b" time="0.1" status="fail">
		<failure message=""/>
		<system-out>noise
b.cc:7: Failure
Expected: 1 &lt; 0
</system-out>
	</testcase>
	<testcase name="c.Hangs" classname="c" time="120.1" status="fail">
		<failure message=""/>
		<system-out></system-out>
	</testcase>
	<testcase name="d.sh" classname="d" time="0.1" status="fail">
		<failure message=""/>
		<system-out>what a script
says at its end
</system-out>
	</testcase>
</testsuite>
XML
said=$(awk -f failures.awk "$report")
expect() { grep -qF -- "$1" <<<"$said" || { echo "missing: $1"; echo "$said"; exit 1; }; }
expect 'FAILED: b.Fails/x  # GetParam() = "x" (0.1 s)'
expect '    b.cc:7: Failure'
expect '    Expected: 1 < 0'
expect 'FAILED: c.Hangs (120.1 s)'
expect '    what a script'
expect '    says at its end'
for not in a.Passes a.cc noise; do
  if grep -qF "$not" <<<"$said"; then echo "not wanted: $not"; echo "$said"; exit 1; fi
done
