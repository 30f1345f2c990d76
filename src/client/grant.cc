#include "client/grant.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "client/describe.h"
#include "client/grant_list.h"

namespace tenure::client {

Grant::Grant(std::shared_ptr<SessionCore> core, GrantKind kind, std::string name,
             const LockGranted& granted)
    : core_(std::move(core)), kind_(kind), name_(std::move(name)), granted_(granted) {
  core_->WithGrants([this](GrantList& grants) { grants.Add(this); });
}

Grant::~Grant() {
  if (core_->InForkedChild()) {
    // Touches no lock that a thread of the parent may have held.
    (void)session_lost_.release();
    return;
  }
  if (listed_) core_->WithGrants([this](GrantList& grants) { grants.Remove(this); });
}

std::string Grant::TakeName() {
  if (core_->InForkedChild()) return name_;
  core_->WithGrants([this](GrantList& grants) { grants.Remove(this); });
  listed_ = false;
  return std::move(name_);
}

std::stop_token Grant::lost() {
  if (core_->InForkedChild()) return {};
  std::stop_source source{std::nostopstate};
  bool made = false;
  core_->WithGrants([&](GrantList&) {
    if (!lost_.has_value()) {
      lost_.emplace();
      made = true;
    }
    source = *lost_;
  });
  if (made) {
    // Outside of the lock: it runs at once if the session is lost already.
    session_lost_ = std::make_unique<std::stop_callback<PassOn>>(core_->lost(), PassOn{source});
    if (broken_.load(std::memory_order_acquire)) source.request_stop();
  }
  return source.get_token();
}

absl::Status Grant::status() const {
  if (core_->InForkedChild()) return ForkedStatus();
  if (!broken_.load(std::memory_order_acquire)) return core_->status();
  std::string by;
  core_->WithGrants([&](GrantList&) {
    if (broken_by_ != nullptr) by = *broken_by_;
  });
  switch (kind_) {
    case GrantKind::kElection:
      return BrokenStatus("the lead of ", name_, by);
    case GrantKind::kOperation:
      return BrokenStatus("the attempt at ", name_, by);
    case GrantKind::kLock:
      break;
  }
  return BrokenStatus("", name_, by);
}

// ---- GrantList
// -------------------------------------------------------------------------------------

void GrantList::Add(Grant* grant) {
  grant->next_ = first_;
  if (first_ != nullptr) first_->previous_ = grant;
  first_ = grant;
  if (breaks_.empty()) return;
  const auto it = std::find_if(breaks_.begin(), breaks_.end(),
                               [&](const LockLostEvent& lost) { return Means(lost, *grant); });
  if (it != breaks_.end()) Tell(*it, *grant);
}

void GrantList::Tell(const LockLostEvent& lost, Grant& grant) {
  grant.broken_by_ = std::make_unique<const std::string>(lost.by);
  grant.broken_.store(true, std::memory_order_release);
}

void GrantList::Remove(Grant* grant) {
  (grant->previous_ != nullptr ? grant->previous_->next_ : first_) = grant->next_;
  if (grant->next_ != nullptr) grant->next_->previous_ = grant->previous_;
}

bool GrantList::Means(const LockLostEvent& lost, const Grant& grant) {
  // Only several locks at once share a token; the name of an attempt is not all of its key.
  return grant.token() == lost.token &&
         (grant.kind() != GrantKind::kLock || grant.name() == lost.name);
}

std::vector<std::stop_source> GrantList::Break(const LockLostEvent& lost) {
  std::vector<std::stop_source> told;
  for (Grant* grant = first_; grant != nullptr; grant = grant->next_) {
    if (!Means(lost, *grant)) continue;
    Tell(lost, *grant);
    if (grant->lost_.has_value()) told.push_back(*grant->lost_);
  }
  breaks_.push_back(lost);
  if (breaks_.size() > kBreaksMax) breaks_.pop_front();
  return told;
}

}  // namespace tenure::client
