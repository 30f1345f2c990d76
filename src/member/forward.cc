// Passing requests of this process on to the leader, and serving those of other members' processes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "member/actor.h"

namespace tenure::member {
namespace {

// Requests and answers that are passed on are cut near this: a frame holds 4 MiB.
constexpr std::size_t kForwardBytes = 512 << 10;
// Ports of other members that a leader serves.
constexpr std::size_t kForwardedMax = 16384;
// What was passed on and is not answered for so long was lost on the way: between members messages
// may be. A leader takes note of who listens at once; a change of members takes its time, and is a
// read to whoever passes it on.
absl::Duration PatienceWith(RequestKind kind) {
  if (kind == RequestKind::kListen) return absl::Seconds(2);
  return kind == RequestKind::kRead ? absl::Seconds(20) : absl::Seconds(10);
}
constexpr absl::Duration kLookForLost = absl::Seconds(1);
// When that many are served: who has asked nothing for a minute, and would hear of no session, may
// be a port whose end was not heard of. One that lives asks again.
constexpr absl::Duration kIdle = absl::Minutes(1);
constexpr absl::Duration kLookForIdle = absl::Seconds(10);

}  // namespace

// A client of another process is told where the leader is instead.
bool Actor::MayForward(const Asker& asker) const {
  return asker.kind == Asker::Kind::kPort && failed_.ok() && !leader_.empty() && leader_ != self_;
}

void Actor::ForwardLater(AskerRef ref, Asker& asker, ClientRequest request) {
  // What frees something has a share of its own.
  const std::size_t max = options_.commands_pending_max;
  if (asker.forwarded.size() >= max + (request.reserved ? max / 10 : 0)) {
    if (request.kind == RequestKind::kUnlisten) return;
    return Refuse({ref, request.id}, Refusal::kOverloaded, "too many commands under way");
  }
  if (request.kind == RequestKind::kListen) asker.listened = true;
  if (request.kind != RequestKind::kUnlisten) asker.forwarded[request.id] = {request.kind, now_};
  asker.to_forward.push_back(std::move(request));
  askers_.Out(ref, asker);  // at the turn's end
}

void Actor::FlushForwards(Asker& asker) {
  std::vector<ClientRequest> all = std::exchange(asker.to_forward, {});
  if (leader_.empty() || leader_ == self_) return;  // they were refused when that changed
  for (std::size_t begin = 0; begin < all.size();) {
    ForwardedRequests part{asker.id, {}};
    for (std::size_t bytes = 0; begin < all.size() && bytes < kForwardBytes; ++begin) {
      bytes += all[begin].command.size() + 64;
      part.requests.push_back(std::move(all[begin]));
    }
    SendForward(leader_, std::move(part));
  }
}

void Actor::SendInParts(Asker& to, ServerMessage message) {
  ForwardedReplies part{to.id, {}};
  std::size_t bytes = 0;
  const auto send = [&] {
    part.number = ++to.answers;
    SendForward(to.peer, std::exchange(part, {to.id, {}}));
    bytes = 0;
  };
  const auto cut = [&](std::size_t next) {
    if (bytes != 0 && bytes + next > kForwardBytes) send();
    bytes += next;
  };
  for (ClientReply& reply : message.replies) {
    cut(reply.reply.size() + reply.message.size() + 64);
    part.message.replies.push_back(std::move(reply));
  }
  for (std::string& event : message.events) {
    cut(event.size() + 16);
    part.message.events.push_back(std::move(event));
  }
  send();
}

void Actor::SendForward(const MemberId& to, Forward forward) {
  transport_->Send({cluster_, self_, to, std::move(forward)});
}

void Actor::TakeForward(const MemberId& from, Forward& forward) {
  if (!InConfiguration(from)) return;
  if (ForwardedRequests* requests = std::get_if<ForwardedRequests>(&forward)) {
    TakeForwardedRequests(from, *requests);
  } else if (ForwardedReplies* replies = std::get_if<ForwardedReplies>(&forward)) {
    TakeForwardedReplies(from, *replies);
  } else if (const ForwardClosed* closed = std::get_if<ForwardClosed>(&forward)) {
    askers_.RemoveForwarded(from, closed->origin);
  }
}

bool Actor::MayServe(const MemberId& from, std::uint64_t origin) {
  if (askers_.forwarded_count() < kForwardedMax || askers_.HasForwarded(from, origin)) return true;
  if (!now_.Reached(look_for_idle_)) return false;
  look_for_idle_ = now_ + kLookForIdle;
  askers_.RemoveIdleForwarded(listeners_.LatestSlots(), now_, kIdle);
  return askers_.forwarded_count() < kForwardedMax;
}

void Actor::TakeForwardedRequests(const MemberId& from, ForwardedRequests& forward) {
  const bool full = leading() && !MayServe(from, forward.origin);
  if (!leading() || full) {
    ServerMessage message;
    for (const ClientRequest& request : forward.requests) {
      if (request.kind == RequestKind::kUnlisten) continue;
      ClientReply& reply = message.replies.emplace_back();
      reply.id = request.id;
      reply.refusal = full ? Refusal::kOverloaded : Refusal::kNotLeader;
      reply.message = full ? "too many callers" : NotLeaderMessage();
      if (!full) reply.leader_address = LeaderAddress();
    }
    return SendForward(from, ForwardedReplies{forward.origin, std::move(message)});
  }
  const AskerRef ref = askers_.Forwarded(from, forward.origin);
  askers_.Find(ref)->asked_at = now_;
  for (ClientRequest& request : forward.requests) requests_in_.push_back({ref, std::move(request)});
}

void Actor::TakeForwardedReplies(const MemberId& from, ForwardedReplies& forward) {
  AskerRef ref;
  Asker* const port = askers_.Port(forward.origin, &ref);
  if (port == nullptr) {  // closed, and the leader has not heard of it
    return SendForward(from, ForwardClosed{forward.origin});
  }
  for (ClientReply& reply : forward.message.replies) {
    // Late answers from an earlier leader were given up; id 0 tells that its events have ended.
    const bool notice = reply.id == 0 && std::exchange(port->listened, false);
    if (!notice && port->forwarded.erase(reply.id) == 0) continue;
    askers_.Out(ref, *port).replies.push_back(std::move(reply));
  }
  if (from != leader_) return;
  for (std::string& event : forward.message.events)
    askers_.Out(ref, *port).events.push_back(std::move(event));
  if (forward.number == 0 || forward.number == std::exchange(port->answers, forward.number) + 1) {
    return;
  }
  // Answers or events were lost on the way, or the leader has forgotten the port meanwhile. Whoever
  // is behind it begins anew: asks again for what is not answered, and for events from where it
  // was.
  Refuse({ref, 0}, Refusal::kNotLeader, "something that the leader said was lost");
}

void Actor::GiveUpLostForwards() {
  if (!now_.Reached(look_for_lost_)) return;
  look_for_lost_ = now_ + kLookForLost;
  askers_.ForEach([this](AskerRef ref, Asker& asker) {
    if (asker.kind != Asker::Kind::kPort) return;
    std::vector<std::uint64_t> lost;
    for (const auto& [id, forwarded] : asker.forwarded) {
      if (now_.Reached(forwarded.since + PatienceWith(forwarded.kind))) lost.push_back(id);
    }
    std::sort(lost.begin(), lost.end());
    for (const std::uint64_t id : lost) {
      asker.forwarded.erase(id);
      Refuse({ref, id}, Refusal::kUncertain, "no answer from the leader");
    }
  });
}

void Actor::FailForwards() {
  askers_.ForEach([this](AskerRef ref, Asker& asker) {
    if (asker.kind != Asker::Kind::kPort) return;
    asker.to_forward.clear();
    std::vector<std::pair<std::uint64_t, RequestKind>> lost;
    for (const auto& [id, forwarded] : asker.forwarded) lost.emplace_back(id, forwarded.kind);
    asker.forwarded.clear();
    asker.answers = 0;
    std::sort(lost.begin(), lost.end());
    for (const auto& [id, kind] : lost) {
      if (kind == RequestKind::kWrite) {
        Refuse({ref, id}, Refusal::kUncertain,
               "the leader changed while the command was on its way");
      } else {
        Refuse({ref, id}, Refusal::kNotLeader, NotLeaderMessage());
      }
    }
    if (std::exchange(asker.listened, false))
      Refuse({ref, 0}, Refusal::kNotLeader, NotLeaderMessage());
  });
}

}  // namespace tenure::member
