# Reads ctest's JUnit report: names each test that failed, with its time, and quotes of its output what
# tells why; the last lines of it, if nothing does.
/<testcase / {
  bad = /status="fail"/
  quoted = follow = lines = 0
  if (bad) print "FAILED: " attribute("name") " (" attribute("time") " s)"
}
bad && /<\/testcase>/ && quoted == 0 {
  for (i = lines > 10 ? lines - 10 : 0; i < lines; ++i) quote(line[i])
}
{ sub(/^[\t ]*<system-out>/, "") }
/<.*>/ { next }
bad { line[lines++] = $0 }
/Failure$|ERROR: |WARNING: ThreadSanitizer|runtime error:|SUMMARY: |terminate called|Assertion/ { follow = 8 }
bad && follow-- > 0 && quoted < 25 { quote($0) }

function attribute(key,    text) {
  text = $0
  sub(".* " key "=\"", "", text); sub(/".*/, "", text)
  return clear(text)
}
function quote(text) {
  print "    " substr(clear(text), 1, 200)
  ++quoted
}
function clear(text) {
  gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text)
  gsub(/&#x9;/, "\t", text); gsub(/&amp;/, "\\&", text)
  return text
}
