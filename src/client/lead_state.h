// What a Leadership and the commands that it has under way share.
#ifndef TENURE_CLIENT_LEAD_STATE_H_
#define TENURE_CLIENT_LEAD_STATE_H_

#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "client/possession.h"

namespace tenure::client {

// Thread-safe.
//
// A lead that is being handed over is nobody's to act on: the successor may have it before this
// process hears so. Whether it comes back is the machine's to say; if the Leadership is gone by
// then, whoever brings it back resigns.
class LeadState {
 public:
  Possession lead;
  // A proclamation is under way: a late one must not undo the next.
  std::atomic<bool> proclaiming{false};

  std::string value() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return value_;
  }
  void set_value(std::string value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    value_ = std::move(value);
  }

 private:
  mutable std::mutex mutex_;
  std::string value_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_LEAD_STATE_H_
