// Storage in this object's memory. `done` runs within Write: nothing is faster than memory.
#include <utility>

#include "storage/log_image.h"
#include "tenure/storage.h"

namespace tenure {
namespace {

class MemoryStorage final : public Storage {
 public:
  absl::StatusOr<Recovered> Open(const MemberId& self) override { return image_.Open(self); }
  void Write(raft::WriteBatch batch, absl::AnyInvocable<void(absl::Status) &&> done) override {
    // After an error nothing more is taken: what follows would stand on what was refused.
    if (status_.ok()) status_ = image_.Apply(batch);
    std::move(done)(status_);
  }
  absl::StatusOr<std::vector<raft::Entry>> Read(Index first, Index last,
                                                std::size_t max_bytes) override {
    return image_.Read(first, last, max_bytes);
  }
  absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset) override {
    return image_.ReadSnapshot(index, offset);
  }
  bool durable() const override { return false; }

 private:
  LogImage image_;
  absl::Status status_;
};

}  // namespace

std::unique_ptr<Storage> NewMemoryStorage() { return std::make_unique<MemoryStorage>(); }

}  // namespace tenure
