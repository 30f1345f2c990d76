// What one client process did with locks and was told: a line for each event, on the clock that all
// processes of a machine share. One that is killed leaves all that it knew.
#ifndef TENURE_TESTS_PROCESS_LOCK_JOURNAL_H_
#define TENURE_TESTS_PROCESS_LOCK_JOURNAL_H_

#include <chrono>
#include <cstdint>
#include <istream>
#include <ostream>
#include <sstream>
#include <string>

namespace tenure::process {

// One event. Which numbers it has depends on what it is.
struct JournalLine {
  // "asked" (session), "granted" (token), "unlocking" (token), "unlocked" (1: it was held),
  // "may-end" (token; from at_ns on), "reading", "read" (token, session of the holder)
  std::string what;
  std::string lock;
  std::int64_t at_ns = 0;
  std::uint64_t first = 0;
  std::uint64_t second = 0;
};

inline std::int64_t JournalNow() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

inline void Write(std::ostream& journal, const JournalLine& line) {
  journal << line.what << ' ' << line.lock << ' ' << line.at_ns << ' ' << line.first << ' '
          << line.second << std::endl;  // at once
}

// False at the end, or at a line that its writer did not finish.
inline bool Read(std::istream& journal, JournalLine* line) {
  std::string text;
  if (!std::getline(journal, text) || journal.eof()) return false;
  std::istringstream words(text);
  return static_cast<bool>(words >> line->what >> line->lock >> line->at_ns >> line->first >>
                           line->second);
}

}  // namespace tenure::process

#endif  // TENURE_TESTS_PROCESS_LOCK_JOURNAL_H_
