#include "backends/replicated_engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "machine/codec.h"
#include "tenure/errors.h"

namespace tenure::backends {
namespace {

// How often deadlines are looked at, while calls are under way: an exact timer for each would cost
// more than the calls.
constexpr std::int64_t kTickNs = 20'000'000;
constexpr absl::Duration kOverloadRetryAfter = absl::Milliseconds(100);

bool MayHaveHappened(const PendingCall& call) {
  return call.changes && (call.unresolved || call.in_flight);
}

absl::Status ClosedStatus(const PendingCall& call) {
  if (!MayHaveHappened(call))
    return absl::CancelledError("the coordinator is closed; open another");
  return absl::UnknownError("the coordinator was closed before an answer: it may have happened");
}

}  // namespace

ReplicatedEngine::ReplicatedEngine(Loop* loop, LinkFactory factory, ReplicatedOptions options)
    : loop_(loop),
      factory_(std::move(factory)),
      options_(std::move(options)),
      random_state_(options_.seed) {}

void ReplicatedEngine::Start(PendingCall call) {
  if (stopped_ || draining_) {
    return std::move(call.done)(ClosedStatus(call));
  }
  // What frees something may use a last tenth beyond the limit.
  const std::size_t limit =
      call.reserved ? options_.calls_max + options_.calls_max / 10 : options_.calls_max;
  if (calls_.size() >= limit) {
    std::move(call.done)(WithRetryAfter(
        absl::ResourceExhaustedError(absl::StrCat(limit, " calls are under way; try again later")),
        kOverloadRetryAfter));
    return;
  }
  const CallTable::Id id = calls_.Add(std::move(call));
  ArmTick();
  if (link_state_ == LinkState::kConnected) {
    SendCall(id);
  } else {
    EnsureLink();
  }
}

void ReplicatedEngine::Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) {
  if (stopped_) return;
  Listener& listener = listeners_[session];
  if (listener.request != 0) listen_requests_.erase(listener.request);
  listener = Listener{.after = after, .sink = std::move(sink)};
  if (link_state_ == LinkState::kConnected) {
    SendListen(session, &listener);
  } else {
    EnsureLink();
  }
}

void ReplicatedEngine::Unlisten(SessionId session) {
  const auto it = listeners_.find(session);
  if (it == listeners_.end()) return;
  if (it->second.request != 0) listen_requests_.erase(it->second.request);
  listeners_.erase(it);
  if (link_state_ == LinkState::kConnected) {
    QueueRequest({.kind = RequestKind::kUnlisten, .session = session});
  }
}

void ReplicatedEngine::OnConnected(std::string leader_address) {
  const auto self = shared_from_this();  // a callback may drop the last other reference
  link_state_ = LinkState::kConnected;
  last_heard_ = loop_->Now();
  if (!leader_address.empty() && leader_address != address_) {
    // It knows better already. A status call is content with any member.
    bool wants_leader = !listeners_.empty();
    for (const CallTable::Id id : calls_.Ids()) {
      wants_leader |= calls_.Find(id)->kind != RequestKind::kStatus;
    }
    if (wants_leader) return OnNotLeader(leader_address);
  }
  last_trouble_ = absl::OkStatus();
  ResendAll();
}

void ReplicatedEngine::OnMessage(ServerMessage message) {
  const auto self = shared_from_this();
  last_heard_ = loop_->Now();
  bool not_leader = false;
  std::string leader_address;
  for (const ClientReply& reply : message.replies) {
    if (reply.refusal == Refusal::kNotLeader) {
      not_leader = true;
      if (!reply.leader_address.empty()) leader_address = reply.leader_address;
    }
    OnReply(reply);
  }
  for (const std::string& bytes : message.events) OnEvent(bytes);
  if (not_leader && link_state_ == LinkState::kConnected) OnNotLeader(leader_address);
}

void ReplicatedEngine::OnReply(const ClientReply& reply) {
  if ((reply.id & kListenBit) != 0) return OnListenReply(reply.id, reply);
  PendingCall* const call = calls_.Find(reply.id);
  if (call == nullptr || !call->in_flight) return;  // it was given up meanwhile
  call->in_flight = false;
  --in_flight_;
  if (reply.refusal != Refusal::kNone) return OnRefusal(reply.id, call, reply);
  if (call->kind != RequestKind::kStatus) backoff_ns_ = 0;
  Finish(reply.id, machine::DecodeReply(reply.reply));
}

void ReplicatedEngine::OnRefusal(CallTable::Id id, PendingCall* call, const ClientReply& reply) {
  last_trouble_ = absl::UnavailableError(absl::StrCat(address_, ": ", reply.message));
  switch (reply.refusal) {
    case Refusal::kNone:
    case Refusal::kNotLeader:  // OnMessage looks for the leader; it is sent again there
      return;
    case Refusal::kOverloaded:
      // Worth insisting on: the tick sends it again. So is what an earlier sending may have done:
      // this refusal says nothing of that one.
      if (call->retry && (call->reserved || MayHaveHappened(*call))) return;
      if (MayHaveHappened(*call)) return Finish(id, absl::UnknownError(reply.message));
      return Finish(
          id, WithRetryAfter(absl::ResourceExhaustedError(reply.message), kOverloadRetryAfter));
    case Refusal::kUncertain:
      call->unresolved = true;
      if (call->retry) return;  // at the next tick
      return Finish(id, absl::UnknownError(reply.message));
    case Refusal::kVersion:
      if (MayHaveHappened(*call)) return Finish(id, absl::UnknownError(reply.message));
      return Finish(id, absl::UnimplementedError(reply.message));
    case Refusal::kInvalid:
      return Finish(id, absl::InvalidArgumentError(reply.message));
  }
  Finish(id, absl::InternalError(absl::StrCat("refusal ", static_cast<int>(reply.refusal),
                                              " is unknown to this version; upgrade this client")));
}

void ReplicatedEngine::OnListenReply(std::uint64_t request, const ClientReply& reply) {
  const auto it = listen_requests_.find(request);
  if (it == listen_requests_.end()) return;
  Listener& listener = listeners_[it->second];
  listen_requests_.erase(it);
  listener.request = 0;
  if (reply.refusal == Refusal::kNone) listener.confirmed = true;  // otherwise the tick asks again
}

void ReplicatedEngine::OnEvent(const std::string& bytes) {
  absl::StatusOr<SessionEvent> event = machine::DecodeEvent(bytes);
  if (!event.ok()) return Reconnect("", event.status());
  const auto it = listeners_.find(event->session);
  if (it == listeners_.end() || event->revision <= it->second.after) return;
  it->second.after = event->revision;
  const std::shared_ptr<EventSink> sink = it->second.sink;
  sink->OnEvent(*std::move(event));
}

void ReplicatedEngine::Finish(CallTable::Id id, absl::StatusOr<Reply> outcome) {
  PendingCall call = calls_.Take(id);
  if (call.in_flight) --in_flight_;
  std::move(call.done)(std::move(outcome));
  if (draining_ && calls_.size() == 0 && drained_) std::exchange(drained_, nullptr)();
}

void ReplicatedEngine::Drain(absl::AnyInvocable<void() &&> drained) {
  if (stopped_) return std::move(drained)();
  draining_ = true;
  for (const CallTable::Id id : calls_.Ids()) {
    PendingCall* const call = calls_.Find(id);
    if (call == nullptr || (call->reserved && link_state_ == LinkState::kConnected)) continue;
    Finish(id, ClosedStatus(*call));
  }
  if (calls_.size() == 0) return std::move(drained)();
  drained_ = std::move(drained);
}

void ReplicatedEngine::Stop() {
  if (stopped_) return;
  stopped_ = true;
  tick_.Cancel();
  backoff_timer_.Cancel();
  link_.reset();
  link_state_ = LinkState::kNone;
  listeners_.clear();
  listen_requests_.clear();
  outgoing_.clear();
  for (const CallTable::Id id : calls_.Ids()) {
    if (const PendingCall* call = calls_.Find(id)) Finish(id, ClosedStatus(*call));
  }
  if (drained_) std::exchange(drained_, nullptr)();
}

// Calls are short: a wait for a lock is answered at once and ends with an event. So one coarse tick
// serves all their deadlines, and runs only while something is under way.
void ReplicatedEngine::ArmTick() {
  if (tick_armed_) return;
  tick_armed_ = true;
  tick_ = loop_->At(loop_->Now().PlusNs(kTickNs), [this] { OnTick(); });
}

// Ends the calls whose time is up, sends again what was refused for the moment, and gives up a link
// that owes answers and is silent.
void ReplicatedEngine::OnTick() {
  const auto self = shared_from_this();
  tick_armed_ = false;
  const Instant now = loop_->Now();
  for (const CallTable::Id id : calls_.Ids()) {
    PendingCall* const call = calls_.Find(id);
    if (call == nullptr) continue;
    if (now.Reached(call->deadline)) {
      FinishLate(id, *call);
    } else if (link_state_ == LinkState::kConnected && !call->in_flight) {
      SendCall(id);
    }
  }
  if (stopped_) return;
  bool unheard = false;  // somebody listens to a session, and no member knows it yet
  for (auto& [session, listener] : listeners_) {
    unheard |= !listener.confirmed;
    if (link_state_ != LinkState::kConnected) break;
    if (!listener.confirmed && listener.request == 0) SendListen(session, &listener);
  }
  const bool waits_for_member = link_state_ == LinkState::kConnecting || OwesAnswer();
  if (waits_for_member && now.Reached(last_heard_ + options_.silence_max)) {
    Reconnect("", absl::UnavailableError("it does not answer"));
  }
  if (calls_.size() > 0 || unheard || OwesAnswer()) ArmTick();
}

void ReplicatedEngine::FinishLate(CallTable::Id id, const PendingCall& call) {
  const std::string trouble = last_trouble_.ok() ? absl::StrCat(address_, ": it does not answer")
                                                 : std::string(last_trouble_.message());
  Finish(id, MayHaveHappened(call)
                 ? absl::DeadlineExceededError(
                       absl::StrCat("no answer in time, it may have happened: ", trouble))
                 : absl::UnavailableError(
                       absl::StrCat("no leader answered in time, nothing happened: ", trouble)));
}

bool ReplicatedEngine::OwesAnswer() const { return in_flight_ > 0 || !listen_requests_.empty(); }

}  // namespace tenure::backends
