#include "backends/replicated.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "backends/replicated_engine.h"
#include "machine/codec.h"
#include "tenure/errors.h"

namespace tenure::backends {
namespace {

RequestKind KindOfOperation(const Operation& operation) {
  if (std::holds_alternative<GetStatus>(operation)) return RequestKind::kStatus;
  return IsWrite(operation) ? RequestKind::kWrite : RequestKind::kRead;
}

// Something that another thread waits for.
class Notification {
 public:
  void Notify() {
    const std::lock_guard lock(mutex_);
    notified_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return notified_; });
  }
  void WaitFor(absl::Duration limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(limit), [this] { return notified_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool notified_ = false;
};

// Notifies when it is destroyed: work that a stopped Loop drops unrun keeps nobody waiting.
class NotifyAtEnd {
 public:
  explicit NotifyAtEnd(std::shared_ptr<Notification> whom) : whom_(std::move(whom)) {}
  NotifyAtEnd(NotifyAtEnd&&) = default;
  ~NotifyAtEnd() {
    if (whom_ != nullptr) whom_->Notify();
  }

 private:
  std::shared_ptr<Notification> whom_;
};

// What must be ended before the Loop may go. Gives closes and unlocks that are on their way a
// moment, so that others need not wait for a lease to run out.
void CloseDown(const std::shared_ptr<Loop>& loop, const std::shared_ptr<ReplicatedEngine>& engine,
               absl::Duration linger) {
  if (linger <= absl::ZeroDuration()) {
    loop->Post([engine] { engine->Stop(); });
    return;
  }
  const auto drained = std::make_shared<Notification>();
  loop->Post(
      [engine, end = NotifyAtEnd(drained)]() mutable { engine->Drain([end = std::move(end)] {}); });
  drained->WaitFor(linger);
  const auto stopped = std::make_shared<Notification>();
  loop->Post([engine, end = NotifyAtEnd(stopped)] { engine->Stop(); });
  stopped->Wait();
  engine->Stop();  // if the Loop had stopped before: nobody else is in the engine then
}

// The thread-safe face of an engine: takes calls from any thread, and hands them over by the turn.
class ReplicatedBackend final : public Backend {
 public:
  ReplicatedBackend(std::shared_ptr<Loop> loop, LinkFactory factory,
                    const ReplicatedOptions& options)
      : loop_(std::move(loop)),
        engine_(std::make_shared<ReplicatedEngine>(loop_.get(), std::move(factory), options)),
        inbox_(std::make_shared<Inbox>()),
        linger_(options.linger) {}

  ~ReplicatedBackend() override {
    // A callback that drops the last reference runs on the Loop, which cannot wait for itself.
    if (loop_->OnLoop() && linger_ > absl::ZeroDuration()) {
      std::thread([loop = std::move(loop_), engine = std::move(engine_),
                   linger = linger_]() mutable {
        CloseDown(loop, engine, linger);
        engine.reset();
        loop.reset();
      }).detach();
      return;
    }
    CloseDown(loop_, engine_, linger_);
  }

  void Call(Command command, CallOptions options, Done done) override {
    PendingCall call;
    call.kind = KindOfOperation(command.operation);
    // A change of members is asked for outside the log.
    call.changes = call.kind == RequestKind::kWrite ||
                   std::holds_alternative<ChangeMembers>(command.operation);
    call.reserved = IsReserved(command.operation);
    call.retry = options.retry;
    call.command = machine::EncodeCommand(command);
    if (options.timeout != absl::InfiniteDuration()) call.deadline = loop_->Now() + options.timeout;
    call.done = std::move(done);
    bool first = false;
    {
      const std::lock_guard lock(inbox_->mutex);
      first = inbox_->calls.empty();
      inbox_->calls.push_back(std::move(call));
    }
    if (!first) return;
    loop_->Post([engine = engine_, inbox = inbox_] {
      std::vector<PendingCall> calls;
      {
        const std::lock_guard lock(inbox->mutex);
        calls.swap(inbox->calls);
      }
      for (PendingCall& each : calls) engine->Start(std::move(each));
    });
  }

  void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) override {
    loop_->Post([engine = engine_, session, after, sink = std::move(sink)]() mutable {
      engine->Listen(session, after, std::move(sink));
    });
  }

  void Unlisten(SessionId session) override {
    loop_->Post([engine = engine_, session] { engine->Unlisten(session); });
  }

  Loop& loop() override { return *loop_; }

  void Settle() override {
    if (loop_->OnLoop() || linger_ <= absl::ZeroDuration()) return;
    const auto settled = std::make_shared<Notification>();
    loop_->Post([end = NotifyAtEnd(settled)] {});
    settled->WaitFor(linger_);
  }

  void Shutdown() override {
    loop_->Post([engine = engine_] { engine->Stop(); });
  }

 private:
  struct Inbox {
    std::mutex mutex;
    std::vector<PendingCall> calls;
  };

  std::shared_ptr<Loop> loop_;
  std::shared_ptr<ReplicatedEngine> engine_;
  const std::shared_ptr<Inbox> inbox_;
  const absl::Duration linger_;
};

}  // namespace

std::shared_ptr<Backend> NewReplicatedBackend(std::shared_ptr<Loop> loop, LinkFactory factory,
                                              const ReplicatedOptions& options) {
  return std::make_shared<ReplicatedBackend>(std::move(loop), std::move(factory), options);
}

}  // namespace tenure::backends
