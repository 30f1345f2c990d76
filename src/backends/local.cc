#include "backends/local.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "backends/reaper.h"
#include "tenure/local.h"

namespace tenure::backends {
namespace {

constexpr absl::string_view kName = "local";

absl::Status ShutDown() { return absl::CancelledError("this backend was shut down"); }

}  // namespace

std::shared_ptr<LocalBackend> LocalBackend::New() {
  std::unique_ptr<Loop> loop = NewThreadLoop();
  Loop* const raw = loop.get();
  // The last reference may go in a callback on the loop, whose thread cannot join itself.
  return std::shared_ptr<LocalBackend>(
      new LocalBackend(std::move(loop), raw), [raw](LocalBackend* backend) {
        ReleaseOffLoop(*raw, std::unique_ptr<LocalBackend>(backend));
      });
}

std::shared_ptr<LocalBackend> LocalBackend::New(Loop* loop) {
  return std::make_shared<LocalBackend>(nullptr, loop);
}

LocalBackend::LocalBackend(std::unique_ptr<Loop> owned, Loop* loop)
    : owned_(std::move(owned)), loop_(loop), last_(loop_->Now()) {
  // The defaults are well-formed, and this process asserts that no holder of an earlier machine
  // lives.
  machine_.Start(machine::Genesis(), /*stamp_ns=*/0).IgnoreError();
}

machine::Applied LocalBackend::Apply(absl::Span<const Command> commands) {
  // Read now, after the commands came in (PITFALLS T2).
  const Instant now = loop_->Now();
  const std::int64_t passed = std::clamp<std::int64_t>(now.LeaderElapsedNs(last_), 0, kTurnMaxNs);
  last_ = now;
  ++entries_;
  machine::Applied applied = machine_.Apply(machine_.now_ns() + passed, commands);
  if (!tick_armed_ && machine_.HasDeadline()) ArmTick();
  return applied;
}

void LocalBackend::ArmTick() {
  tick_armed_ = true;
  // What clean-up left over goes on at once.
  const Instant when = machine_.HasBacklog() ? last_ : last_.PlusNs(kTickNs);
  tick_ = loop_->At(when, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->OnTick();
  });
}

void LocalBackend::OnTick() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    tick_armed_ = false;
    if (shut_down_) return;
    machine::Applied applied = Apply({});
    QueueEvents(applied.events);
  }
  Deliver();
}

// ---- Commands
// --------------------------------------------------------------------------------------

void LocalBackend::Call(Command command, CallOptions /*options*/, Done done) {
  if (std::holds_alternative<ChangeMembers>(command.operation)) {
    return std::move(done)(absl::UnimplementedError("memory: has no members"));
  }
  std::shared_ptr<LocalBackend> self;  // when there are events: a callback may drop everything else
  Reply reply;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (shut_down_) {
      lock.unlock();
      return std::move(done)(ShutDown());
    }
    const bool write = IsWrite(command.operation);
    // A read lets time run, too.
    machine::Applied applied = Apply(absl::MakeConstSpan(&command, write ? 1 : 0));
    if (write) {
      reply = std::move(applied.replies.front());
    } else if (std::holds_alternative<GetStatus>(command.operation)) {
      reply.revision = machine_.revision();
      reply.result = Status();
    } else {
      reply = machine_.Query(command.operation);
    }
    if (!applied.events.empty()) {
      self = shared_from_this();
      QueueEvents(applied.events);
    }
  }
  if (self != nullptr) Deliver();
  std::move(done)(std::move(reply));
}

ClusterStatus LocalBackend::Status() const {
  ClusterStatus status;
  status.answered_by = status.leader = MemberId{std::string(kName), 1};
  status.term = 1;
  status.revision = machine_.revision();
  status.commit = status.applied = entries_;
  status.cluster_time_ns = machine_.now_ns();
  status.sessions = machine_.session_count();
  status.locks = machine_.lock_count();
  status.state_hash = machine_.StateHash();
  status.machine_version = machine_.version();
  status.newest_machine_version = kMachineVersion;
  MemberStatus& member = status.members.emplace_back();
  member.id = status.leader;
  member.address = "memory:";
  member.role = "leader";
  member.reachable = true;
  member.applied = entries_;
  return status;
}

// ---- Events
// ----------------------------------------------------------------------------------------

void LocalBackend::Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) {
  const std::shared_ptr<LocalBackend> self = shared_from_this();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (shut_down_) return;
    for (SessionEvent& event : machine_.EventsAfter(session, after)) {
      events_.emplace_back(sink, std::move(event));
    }
    sinks_.insert_or_assign(session, std::move(sink));
  }
  Deliver();
}

void LocalBackend::Unlisten(SessionId session) {
  std::shared_ptr<EventSink> dropped;  // outside of the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = sinks_.find(session);
  if (it == sinks_.end()) return;
  dropped = std::move(it->second);
  sinks_.erase(it);
}

void LocalBackend::QueueEvents(std::vector<SessionEvent>& events) {
  for (SessionEvent& event : events) {
    const auto it = sinks_.find(event.session);
    if (it != sinks_.end()) events_.emplace_back(it->second, std::move(event));
  }
}

void LocalBackend::Deliver() {
  std::unique_lock<std::mutex> lock(mutex_);
  // Whoever delivers already, also this thread further up, takes these too, in their turn.
  if (events_.empty() || delivering_.load(std::memory_order_relaxed) != std::thread::id()) return;
  delivering_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  while (!events_.empty()) {
    std::pair<std::shared_ptr<EventSink>, SessionEvent> next = std::move(events_.front());
    events_.pop_front();
    lock.unlock();
    next.first->OnEvent(std::move(next.second));
    next.first = nullptr;
    lock.lock();
  }
  delivering_.store(std::thread::id(), std::memory_order_relaxed);
}

void LocalBackend::Shutdown() {
  absl::flat_hash_map<SessionId, std::shared_ptr<EventSink>> sinks;  // dropped outside of the lock
  TimerHandle tick;
  const std::lock_guard<std::mutex> lock(mutex_);
  shut_down_ = true;
  sinks.swap(sinks_);
  tick = std::exchange(tick_, TimerHandle());
}

}  // namespace tenure::backends

namespace tenure {

absl::StatusOr<Coordinator> OpenLocal(CoordinatorOptions options) {
  return Coordinator(backends::LocalBackend::New(), std::move(options));
}

}  // namespace tenure
