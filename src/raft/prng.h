// The core's only randomness: small, seeded, and the same on every platform, so that a seed replays
// a run (std::uniform_int_distribution differs between standard libraries).
#ifndef TENURE_RAFT_PRNG_H_
#define TENURE_RAFT_PRNG_H_

#include <cstdint>

namespace tenure::raft {

// SplitMix64 (Steele, Lea, Flood 2014).
class Prng {
 public:
  explicit Prng(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [0, bound); 0 if `bound` is 0. The bias of the remainder is below 2^-30 for any timeout.
  std::uint64_t Below(std::uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }

 private:
  std::uint64_t state_;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_PRNG_H_
