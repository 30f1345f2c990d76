// A binary heap of slots by (when, order) that knows where each slot sits, so that any of them can
// be removed or moved in O(log n).
#ifndef TENURE_LOOP_DEADLINE_HEAP_H_
#define TENURE_LOOP_DEADLINE_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace tenure {

class DeadlineHeap {
 public:
  // Chosen by the caller, small: they index an array. A slot is in the heap at most once.
  using Slot = std::uint32_t;
  struct Item {
    std::int64_t when = 0;
    std::uint64_t order = 0;  // breaks ties: the lower comes first
    Slot slot = 0;
  };

  bool empty() const { return items_.empty(); }
  // Not on an empty heap.
  const Item& top() const { return items_.front(); }
  bool contains(Slot slot) const { return slot < position_.size() && position_[slot] != kNowhere; }

  void Push(Item item) {
    if (item.slot >= position_.size()) position_.resize(item.slot + 1, kNowhere);
    items_.push_back(item);
    SiftUp(items_.size() - 1);
  }

  // Without effect if the slot is not there.
  void Remove(Slot slot) {
    if (!contains(slot)) return;
    const std::size_t at = position_[slot];
    position_[slot] = kNowhere;
    const Item last = items_.back();
    items_.pop_back();
    if (at == items_.size()) return;
    items_[at] = last;
    if (at > 0 && Before(last, items_[(at - 1) / 2])) {
      SiftUp(at);
    } else {
      SiftDown(at);
    }
  }

 private:
  static constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

  static bool Before(const Item& a, const Item& b) {
    return a.when != b.when ? a.when < b.when : a.order < b.order;
  }
  void Put(std::size_t at, const Item& item) {
    items_[at] = item;
    position_[item.slot] = at;
  }
  void SiftUp(std::size_t at) {
    const Item item = items_[at];
    while (at > 0 && Before(item, items_[(at - 1) / 2])) {
      Put(at, items_[(at - 1) / 2]);
      at = (at - 1) / 2;
    }
    Put(at, item);
  }
  void SiftDown(std::size_t at) {
    const Item item = items_[at];
    for (std::size_t child = 2 * at + 1; child < items_.size(); child = 2 * at + 1) {
      if (child + 1 < items_.size() && Before(items_[child + 1], items_[child])) ++child;
      if (!Before(items_[child], item)) break;
      Put(at, items_[child]);
      at = child;
    }
    Put(at, item);
  }

  std::vector<Item> items_;
  std::vector<std::size_t> position_;  // by slot
};

}  // namespace tenure

#endif  // TENURE_LOOP_DEADLINE_HEAP_H_
