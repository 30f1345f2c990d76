# Reads ctest's JUnit report: names each test that failed, and quotes of its output what tells why.
/<testcase / {
  name = $0; sub(/.*<testcase name="/, "", name); sub(/".*/, "", name)
  bad = /status="fail"/ ; left = 25; follow = 0; said = 0
  if (bad) print "FAILED: " clear(name)
}
bad && /<failure message=/ {
  why = $0; sub(/.*<failure message="/, "", why); sub(/".*/, "", why)
  if (why != "") print "    " clear(why)
}
bad && left > 0 && /Failure$|ERROR: |WARNING: ThreadSanitizer|runtime error:|SUMMARY: |terminate called|Assertion/ {
  follow = 8
}
bad && follow > 0 && left > 0 { print "    " substr(clear($0), 1, 200); --follow; --left }
function clear(text) {
  gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text)
  gsub(/&#x9;/, "\t", text); gsub(/&amp;/, "\\&", text)
  return text
}
