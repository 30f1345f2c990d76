// What is due when, in the one order that every member agrees on: by (due, id).
#ifndef TENURE_MACHINE_TIMERS_H_
#define TENURE_MACHINE_TIMERS_H_

#include <compare>
#include <cstdint>

#include "absl/container/btree_set.h"

namespace tenure::machine {

// An ordered set of (due, id) with what is due. Not an owner. Adding and removing cost O(log n).
template <typename T>
class Timers {
 public:
  struct Entry {
    std::int64_t due_ns = 0;
    std::uint64_t id = 0;
    T* what = nullptr;

    friend bool operator<(const Entry& a, const Entry& b) {
      return a.due_ns != b.due_ns ? a.due_ns < b.due_ns : a.id < b.id;
    }
  };

  void Add(std::int64_t due_ns, std::uint64_t id, T* what) { entries_.insert({due_ns, id, what}); }
  void Remove(std::int64_t due_ns, std::uint64_t id) { entries_.erase({due_ns, id, nullptr}); }

  // The first entry. Null if there is none.
  const Entry* First() const { return entries_.empty() ? nullptr : &*entries_.begin(); }

  // Takes out the first entry that is due at `now_ns`. Null if none is.
  T* PopDue(std::int64_t now_ns) {
    if (entries_.empty() || entries_.begin()->due_ns > now_ns) return nullptr;
    T* what = entries_.begin()->what;
    entries_.erase(entries_.begin());
    return what;
  }

 private:
  absl::btree_set<Entry> entries_;
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_TIMERS_H_
