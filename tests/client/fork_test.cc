// A forked child shares memory images with its parent, and nothing else.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "tenure/local.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure {
namespace {

// Runs `body` in a child; true if it returned true.
template <typename Body>
bool InChild(Body body) {
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(ForkTest, AChildIsRefusedAndDestroysNothing) {
  auto coordinator = std::make_unique<Coordinator>(*OpenLocal());
  auto session = std::make_unique<Session>(*coordinator->OpenSession());
  auto mutex = std::make_unique<Mutex>(session->mutex("a"));
  auto guard = std::make_unique<LockGuard>(*mutex->Lock());
  EXPECT_TRUE(InChild([&] {
    const auto refused = absl::StatusCode::kFailedPrecondition;
    const bool answers = !guard->Valid() && !session->Valid() &&
                         mutex->Lock().status().code() == refused &&
                         coordinator->mutex("b").TryLock().status().code() == refused &&
                         coordinator->OpenSession().status().code() == refused &&
                         coordinator->Status().status().code() == refused &&
                         mutex->Inspect().status().code() == refused &&
                         guard->Unlock().code() == refused && session->Close().code() == refused;
    guard = nullptr;
    mutex = nullptr;
    session = nullptr;
    coordinator = nullptr;
    return answers;
  }));
  EXPECT_TRUE(guard->Valid());
  EXPECT_TRUE(guard->Unlock().ok());
}

TEST(ForkTest, AChildMayOpenItsOwn) {
  const Coordinator parents = *OpenLocal();
  EXPECT_TRUE(InChild([] {
    Coordinator own = *OpenLocal();
    const bool locked = own.mutex("a").Lock().ok();
    return locked;
  }));
}

}  // namespace
}  // namespace tenure
