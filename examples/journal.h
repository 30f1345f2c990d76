// What clients write down about each time they held the lock, and what must be true of it.
#ifndef TENURE_EXAMPLES_JOURNAL_H_
#define TENURE_EXAMPLES_JOURNAL_H_

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace examples {

struct Section {
  std::int64_t begin_us = 0;  // by one clock for all processes of a machine
  std::int64_t end_us = 0;    // the last moment at which the lock was held for certain
  std::uint64_t token = 0;    // of the grant
  std::int64_t count = 0;     // what it made of the counter; 0: it lost the lock before
};

// The clock of /proc/uptime.
inline std::int64_t NowUs() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * std::int64_t{1'000'000} + now.tv_nsec / 1000;
}

// Its process appends nothing else to that file.
inline void Append(const std::string& journal, const Section& section) {
  std::ofstream(journal, std::ios::app) << section.begin_us << ' ' << section.end_us << ' '
                                        << section.token << ' ' << section.count << std::endl;
}

// All sections of these journals, in the order in which they began.
inline std::vector<Section> ReadJournals(const std::vector<std::string>& journals) {
  std::vector<Section> sections;
  for (const std::string& journal : journals) {
    std::ifstream file(journal);
    for (Section s; file >> s.begin_us >> s.end_us >> s.token >> s.count;) sections.push_back(s);
  }
  std::sort(sections.begin(), sections.end(),
            [](const Section& a, const Section& b) { return a.begin_us < b.begin_us; });
  return sections;
}

// How many of them went wrong; each is 0 if the lock is one.
struct Faults {
  std::int64_t overlaps = 0;  // began before an earlier one had ended
  std::int64_t falls = 0;     // had no higher token than the one before
  std::int64_t lost = 0;      // increments that the counter does not show
};
inline Faults FindFaults(const std::vector<Section>& sections, std::int64_t counter) {
  Faults faults;
  std::int64_t held_until_us = 0;
  std::uint64_t token = 0;
  std::int64_t increments = 0;
  for (const Section& section : sections) {
    if (section.begin_us < held_until_us) ++faults.overlaps;
    if (section.token <= token) ++faults.falls;
    if (section.count > 0) ++increments;
    held_until_us = std::max(held_until_us, section.end_us);
    token = section.token;
  }
  faults.lost = increments - counter;
  return faults;
}

inline std::int64_t ReadCounter(const std::string& counter) {
  std::int64_t count = 0;
  std::ifstream(counter) >> count;
  return count;
}

}  // namespace examples

#endif  // TENURE_EXAMPLES_JOURNAL_H_
