// A forked child shares memory images with its parent, and nothing else.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <stop_token>
#include <utility>
#include <variant>
#include <vector>

#include "tenure/backend.h"
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

// Sends openings on, and keeps their answers back.
class SlowToOpen final : public Backend {
 public:
  explicit SlowToOpen(std::shared_ptr<Backend> below) : below_(std::move(below)) {}
  void Call(Command command, CallOptions options, Done done) override {
    if (!std::holds_alternative<OpenSession>(command.operation))
      return below_->Call(std::move(command), options, std::move(done));
    kept_.push_back(std::move(done));
  }
  void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) override {
    below_->Listen(session, after, std::move(sink));
  }
  void Unlisten(SessionId session) override { below_->Unlisten(session); }
  Loop& loop() override { return below_->loop(); }
  void Shutdown() override {
    kept_.clear();
    below_->Shutdown();
  }

 private:
  const std::shared_ptr<Backend> below_;
  std::vector<Done> kept_;
};

TEST(ForkTest, AStopInAChildReachesNoneOfTheParentsCallbacks) {
  const auto backend = std::make_shared<SlowToOpen>(OpenLocal()->backend());
  Coordinator coordinator(backend);
  std::stop_source stop;
  int told = 0;
  coordinator.OpenSession({.cancel = stop.get_token()},
                          [&](const absl::StatusOr<Session>&) { ++told; });
  coordinator.mutex("a").Lock({.cancel = stop.get_token()},
                              [&](const absl::StatusOr<LockGuard>&) { ++told; });
  ASSERT_EQ(told, 0);
  EXPECT_TRUE(InChild([&] {
    stop.request_stop();
    return told == 0;
  }));
  stop.request_stop();
  EXPECT_EQ(told, 2);
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
