// A running hash over what happened, to tell two runs apart.
#ifndef TENURE_TESTING_TRACE_H_
#define TENURE_TESTING_TRACE_H_

#include <cstdint>

namespace tenure::testing {

class Trace {
 public:
  template <typename... Values>
  void Mix(Values... values) {
    (MixOne(static_cast<std::uint64_t>(values)), ...);
  }
  std::uint64_t hash() const { return hash_; }

 private:
  void MixOne(std::uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15u;
    hash_ ^= hash_ >> 32;
  }
  std::uint64_t hash_ = 0x243f6a8885a308d3u;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_TRACE_H_
