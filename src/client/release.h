// Gives a grant back: once, and for as long as it takes.
#ifndef TENURE_CLIENT_RELEASE_H_
#define TENURE_CLIENT_RELEASE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/errand.h"
#include "client/grant.h"
#include "tenure/command.h"

namespace tenure::client {

class Release final : public Errand {
 public:
  // `done` may be null.
  static void Start(const std::shared_ptr<SessionCore>& core, GrantKind kind, std::string name,
                    Revision token, absl::Duration timeout, Done done) {
    Errand::Start(
        core, std::make_shared<Release>(kind, std::move(name), token, timeout, std::move(done)));
  }

  Release(GrantKind kind, std::string name, Revision token, absl::Duration timeout, Done done)
      : Errand(timeout, std::move(done)), kind_(kind), name_(std::move(name)), token_(token) {}

 private:
  Operation MakeOperation() const override {
    if (kind_ == GrantKind::kElection) return Resign{name_, token_};
    return ReleaseLock{name_, token_};
  }
  std::string What() const override { return absl::StrCat("the release of ", name_); }
  absl::Status TooLate(const absl::Status& why) const override {
    return absl::NotFoundError(
        absl::StrCat(name_, " was not held any more when it was given back: ", why.message()));
  }

  const GrantKind kind_;
  const std::string name_;
  const Revision token_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_RELEASE_H_
