// Reads what clients wrote down and tells whether the lock was one. Exit status 1: it was not.
//
//   account COUNTER KILLED_AT JOURNAL...
//
// KILLED_AT is when the leader was killed, in seconds by /proc/uptime.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "examples/journal.h"

namespace {

bool Tell(bool true_so_far, const char* what, const std::string& text) {
  std::printf("  %-9s %s%s\n", what, true_so_far ? "" : "WRONG: ", text.c_str());
  return true_so_far;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: account COUNTER KILLED_AT JOURNAL...\n");
    return 64;
  }
  const std::int64_t counter = examples::ReadCounter(argv[1]);
  const auto killed_us = static_cast<std::int64_t>(std::atof(argv[2]) * 1e6);
  const std::vector<examples::Section> sections = examples::ReadJournals({argv + 3, argv + argc});
  const examples::Faults faults = examples::FindFaults(sections, counter);

  std::int64_t after = 0;
  std::int64_t gap_us = 0;  // the longest time without a grant, from the kill on
  std::int64_t last_us = killed_us;
  for (const examples::Section& section : sections) {
    if (section.begin_us < killed_us) continue;
    ++after;
    gap_us = std::max(gap_us, section.begin_us - last_us);
    last_us = section.begin_us;
  }
  const std::string all = std::to_string(sections.size());
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "%.2f s", static_cast<double>(gap_us) / 1e6);

  bool good = Tell(faults.lost == 0, "counter",
                   std::to_string(counter) + " after " + std::to_string(counter + faults.lost) +
                       " increments" + (faults.lost == 0 ? ": exact" : ""));
  good &= Tell(
      faults.overlaps == 0, "overlap",
      faults.overlaps == 0
          ? "no two holders: each of " + all + " began after the one before had ended"
          : std::to_string(faults.overlaps) + " of " + all + " began before another had ended");
  good &= Tell(faults.falls == 0, "tokens",
               faults.falls == 0 ? "only rose, from one holder to the next"
                                 : std::to_string(faults.falls) + " times did not rise");
  good &= Tell(after > 0 && after < static_cast<std::int64_t>(sections.size()), "progress",
               std::to_string(sections.size() - after) +
                   " times held before the leader was killed, " + std::to_string(after) + " after");
  Tell(true, "waiting",
       "no client was granted the lock for " + std::string(seconds) +
           " (longest gap after the kill, by the clients' clock)");
  return good ? 0 : 1;
}
