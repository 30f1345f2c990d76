// What the copies of one Mutex share.
#ifndef TENURE_CLIENT_MUTEX_CORE_H_
#define TENURE_CLIENT_MUTEX_CORE_H_

#include <memory>
#include <string>
#include <utility>

#include "client/coordinator_core.h"
#include "client/session_core.h"
#include "tenure/backend.h"
#include "tenure/mutex.h"

namespace tenure::client {

// A name, and where its session comes from: one of its own, or the coordinator's implicit one.
class MutexCore {
 public:
  MutexCore(std::string name, std::shared_ptr<SessionCore> session)
      : name_(std::move(name)), session_(std::move(session)) {}
  MutexCore(std::string name, std::shared_ptr<CoordinatorCore> coordinator)
      : name_(std::move(name)), coordinator_(std::move(coordinator)) {}

  const std::string& name() const { return name_; }
  Backend& backend() const {
    return session_ != nullptr ? session_->backend() : coordinator_->backend();
  }
  bool InForkedChild() const {
    return session_ != nullptr ? session_->InForkedChild() : coordinator_->InForkedChild();
  }
  void Lock(LockOptions options, Mutex::LockCallback done) const;

 private:
  const std::string name_;
  const std::shared_ptr<SessionCore> session_;
  const std::shared_ptr<CoordinatorCore> coordinator_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_MUTEX_CORE_H_
