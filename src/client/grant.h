// What a LockGuard owns.
#ifndef TENURE_CLIENT_GRANT_H_
#define TENURE_CLIENT_GRANT_H_

#include <memory>
#include <string>
#include <utility>

#include "client/session_core.h"
#include "tenure/types.h"

namespace tenure::client {

class Grant {
 public:
  Grant(std::shared_ptr<SessionCore> core, std::string name, Revision token)
      : core_(std::move(core)), name_(std::move(name)), token_(token) {}

  const std::shared_ptr<SessionCore>& core() const { return core_; }
  const std::string& name() const { return name_; }
  std::string&& TakeName() { return std::move(name_); }
  Revision token() const { return token_; }

 private:
  const std::shared_ptr<SessionCore> core_;
  std::string name_;
  const Revision token_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_GRANT_H_
