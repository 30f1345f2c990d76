// A running hash of everything that happened to a machine, the same on every platform and build.
// Abseil's hashing will not do: it is seeded anew in each process.
#ifndef TENURE_MACHINE_STATE_HASH_H_
#define TENURE_MACHINE_STATE_HASH_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace tenure::machine {

class StateHash {
 public:
  StateHash() = default;
  // One that goes on where the one with this value stopped.
  explicit StateHash(std::uint64_t value) : state_(value) {}

  void Add(std::uint64_t value) {
    state_ = (state_ ^ value) * 0x9e3779b97f4a7c15u;
    state_ ^= state_ >> 32;
  }
  void AddSigned(std::int64_t value) { Add(static_cast<std::uint64_t>(value)); }
  // Bytes with their length, so that "ab","c" and "a","bc" differ.
  void AddBytes(absl::string_view bytes) {
    Add(bytes.size());
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) Add(Word(bytes.data() + i));
    if (i < bytes.size()) Add(Word(bytes.data() + i, bytes.size() - i));
  }
  std::uint64_t value() const { return state_; }

 private:
  // Little-endian whatever the host. GCC makes one load of the first, and none of the second
  // with 8.
  static std::uint64_t Word(const char* p) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, sizeof word);
    return std::endian::native == std::endian::little ? word : Word(p, sizeof word);
  }
  static std::uint64_t Word(const char* p, std::size_t n) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < n; ++i) {
      word |= std::uint64_t{static_cast<unsigned char>(p[i])} << (8 * i);
    }
    return word;
  }

  std::uint64_t state_ = 0x74656e7572650001u;
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_STATE_HASH_H_
