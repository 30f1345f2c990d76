// The engine's one link: whom it is to, when it is given up, and what is sent on it.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backends/replicated_engine.h"

namespace tenure::backends {
namespace {

// A quarter of what fills a member's pipeline, in bench/: more than that at once, and one process
// works while the others wait.
constexpr std::size_t kManyRequests = 256;

// Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
std::uint64_t SplitMix64(std::uint64_t* state) {
  std::uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

void ReplicatedEngine::EnsureLink() {
  if (link_state_ != LinkState::kNone) return;
  if (address_.empty()) address_ = NextEndpoint();
  Connect();
}

void ReplicatedEngine::Connect() {
  if (stopped_) return;
  link_state_ = LinkState::kConnecting;
  last_heard_ = loop_->Now();
  ArmTick();
  link_ = factory_(address_, this);
}

// In their order, but for the one that was just given up: it may have been the leader whom a hint
// had named, and a second visit to one that is paused would take as long as the first.
std::string ReplicatedEngine::NextEndpoint() {
  const std::size_t count = options_.endpoints.size();
  if (options_.endpoints[next_endpoint_ % count] == address_) ++next_endpoint_;
  return options_.endpoints[next_endpoint_++ % count];
}

void ReplicatedEngine::OnClosed(absl::Status why) {
  const auto self = shared_from_this();
  Reconnect("", why);
}

void ReplicatedEngine::OnNotLeader(const std::string& leader_address) {
  const std::string next = leader_address == address_ ? std::string() : leader_address;
  // What it said when it refused tells more than that it did.
  Reconnect(next, next.empty() && last_trouble_.ok() ? absl::UnavailableError("no leader is known")
                                                     : absl::OkStatus());
}

void ReplicatedEngine::Reconnect(const std::string& next, const absl::Status& why) {
  if (stopped_) return;
  if (!why.ok()) {
    // Streams name whom they were to, scripted links do not.
    const bool named = absl::StartsWith(why.message(), absl::StrCat(address_, ": "));
    last_trouble_ = absl::UnavailableError(named ? std::string(why.message())
                                                 : absl::StrCat(address_, ": ", why.message()));
  }
  DropLink();
  address_ = next.empty() ? NextEndpoint() : next;
  backoff_timer_ = loop_->At(loop_->Now().PlusNs(NextBackoffNs()), [this] { Connect(); });
}

// What was sent and not answered may have happened. A later sending may find out; what must not be
// sent again is told so.
void ReplicatedEngine::DropLink() {
  link_.reset();
  link_state_ = LinkState::kBackingOff;
  outgoing_.clear();
  listen_requests_.clear();
  for (auto& [session, listener] : listeners_) {
    listener.confirmed = false;
    listener.request = 0;
  }
  for (const CallTable::Id id : calls_.Ids()) {
    PendingCall* const call = calls_.Find(id);
    if (call == nullptr || !call->in_flight) continue;
    call->in_flight = false;
    --in_flight_;
    call->unresolved = true;
    if (!call->retry) {
      Finish(id,
             absl::UnknownError(absl::StrCat("the connection to ", address_,
                                             " was lost before an answer: it may have happened")));
    }
  }
}

void ReplicatedEngine::ResendAll() {
  for (const CallTable::Id id : calls_.Ids()) {
    if (!calls_.Find(id)->in_flight) SendCall(id);
  }
  for (auto& [session, listener] : listeners_) SendListen(session, &listener);
}

void ReplicatedEngine::SendCall(CallTable::Id id) {
  PendingCall* const call = calls_.Find(id);
  if (!OwesAnswer()) last_heard_ = loop_->Now();
  call->in_flight = true;
  ++in_flight_;
  // Only what may have to be sent again keeps its bytes.
  QueueRequest(
      {.id = id, .kind = call->kind, .reserved = call->reserved, .command = call->command});
}

void ReplicatedEngine::SendListen(SessionId session, Listener* listener) {
  if (!OwesAnswer()) last_heard_ = loop_->Now();
  listener->request = kListenBit | ++next_listen_request_;
  listen_requests_[listener->request] = session;
  QueueRequest({.id = listener->request,
                .kind = RequestKind::kListen,
                .session = session,
                .after = listener->after});
  ArmTick();
}

void ReplicatedEngine::QueueRequest(ClientRequest request) {
  outgoing_.push_back(std::move(request));
  // Of a long turn the member may have the first part while the rest is being made.
  if (outgoing_.size() >= kManyRequests) return Flush();
  if (flush_deferred_) return;
  flush_deferred_ = true;
  // Not deferred to the turn's end: there the link itself flushes, what it was given before.
  loop_->Post([self = shared_from_this()] {
    self->flush_deferred_ = false;
    self->Flush();
  });
}

void ReplicatedEngine::Flush() {
  if (outgoing_.empty() || link_state_ != LinkState::kConnected) return;
  std::vector<ClientRequest> requests;
  requests.swap(outgoing_);
  link_->Send(std::move(requests));
}

// The first attempt goes at once: a leader that was named is usually there.
std::int64_t ReplicatedEngine::NextBackoffNs() {
  const std::int64_t now = backoff_ns_;
  const std::int64_t min = absl::ToInt64Nanoseconds(options_.backoff_min);
  const std::int64_t max = absl::ToInt64Nanoseconds(options_.backoff_max);
  backoff_ns_ = now == 0 ? min : std::min(now * 2, max);
  if (now == 0) return 0;
  return now / 2 +
         static_cast<std::int64_t>(SplitMix64(&random_state_) % static_cast<std::uint64_t>(now));
}

}  // namespace tenure::backends
