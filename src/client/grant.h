// What a guard owns: a lock, a seat of a semaphore, the lead of an election, an attempt.
#ifndef TENURE_CLIENT_GRANT_H_
#define TENURE_CLIENT_GRANT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "client/session_core.h"
#include "tenure/command.h"
#include "tenure/types.h"

namespace tenure::client {

enum class GrantKind : std::uint8_t { kLock, kElection, kOperation };

// For a stop_callback: what stops one stops another.
struct PassOn {
  std::stop_source to;
  void operator()() { to.request_stop(); }
};

// Stands in its session's list while it lives, and so learns that somebody took it. Stays
// where it was made.
class Grant {
 public:
  Grant(std::shared_ptr<SessionCore> core, GrantKind kind, std::string name,
        const LockGranted& granted);
  Grant(const Grant&) = delete;
  Grant& operator=(const Grant&) = delete;
  ~Grant();

  const std::shared_ptr<SessionCore>& core() const { return core_; }
  GrantKind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  // For who gives it back: it leaves the session's list, where its name is looked at.
  std::string TakeName();
  Revision token() const { return granted_.token; }
  // What a gate compares.
  Revision fence() const { return granted_.fence != 0 ? granted_.fence : granted_.token; }
  std::uint64_t seat() const { return granted_.seat; }

  bool Valid() const { return !broken_.load(std::memory_order_acquire) && core_->Valid(); }
  // Fires when the grant is taken away, or the session is lost.
  std::stop_token lost();
  // OK while it is Valid(); otherwise why not: kAborted if it was taken away, else the session's.
  absl::Status status() const;

 private:
  friend class GrantList;

  const std::shared_ptr<SessionCore> core_;
  const GrantKind kind_;
  std::string name_;
  const LockGranted granted_;
  std::atomic<bool> broken_{false};
  // The rest is under the session's lock, but for the callback. Made when somebody asks: most
  // grants are given back before.
  std::optional<std::stop_source> lost_;
  std::unique_ptr<std::stop_callback<PassOn>> session_lost_;
  std::unique_ptr<const std::string> broken_by_;  // few are: no room for a string in each
  bool listed_ = true;
  Grant* previous_ = nullptr;
  Grant* next_ = nullptr;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_GRANT_H_
