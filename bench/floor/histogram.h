// Latencies in buckets no wider than a 64th of their value.
#ifndef TENURE_BENCH_FLOOR_HISTOGRAM_H_
#define TENURE_BENCH_FLOOR_HISTOGRAM_H_

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tenure::bench::floor {

class Histogram {
 public:
  void Add(std::chrono::nanoseconds latency) {
    ++counts_[BucketOf(static_cast<uint64_t>(latency.count()))];
    ++total_;
  }

  void Add(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
  }

  uint64_t total() const { return total_; }

  // The latency in microseconds that `fraction` of all stay below.
  double Quantile(double fraction) const {
    uint64_t rank = static_cast<uint64_t>(fraction * static_cast<double>(total_));
    for (size_t i = 0; i < counts_.size(); ++i) {
      if (rank < counts_[i]) return static_cast<double>(MiddleOf(i)) / 1000;
      rank -= counts_[i];
    }
    return 0;
  }

 private:
  static constexpr int kBits = 6;
  static constexpr uint64_t kSteps = uint64_t{1} << kBits;

  static size_t BucketOf(uint64_t value) {
    if (value < kSteps) return value;
    const int shift = std::bit_width(value) - kBits - 1;
    return (static_cast<size_t>(shift) << kBits) + (value >> shift);
  }

  static uint64_t MiddleOf(size_t bucket) {
    if (bucket < kSteps) return bucket;
    const size_t shift = (bucket >> kBits) - 1;
    return ((bucket - (shift << kBits)) << shift) + ((uint64_t{1} << shift) >> 1);
  }

  std::array<uint64_t, (64 - kBits + 1) * kSteps> counts_{};
  uint64_t total_ = 0;
};

}  // namespace tenure::bench::floor

#endif  // TENURE_BENCH_FLOOR_HISTOGRAM_H_
