#include "machine/reply_hash.h"

#include <variant>

namespace tenure::machine {
namespace {

// Reads are answered outside the log and reach no hash: hence the last overload.
struct ResultHasher {
  StateHash& hash;

  void operator()(const SessionOpened& opened) const {
    hash.Add(opened.session);
    hash.AddSigned(opened.ttl_ns);
  }
  void operator()(const SessionRenewed& renewed) const {
    hash.Add(renewed.attempt);
    hash.AddSigned(renewed.ttl_ns);
  }
  void operator()(const LockGranted& granted) const { hash.Add(granted.token); }
  void operator()(const LockQueued& queued) const {
    hash.Add(queued.ahead);
    hash.Add(queued.holder.token);
    hash.AddSigned(queued.held_back_ns);
  }
  void operator()(const LockHeld& held) const {
    hash.Add(held.waiting);
    hash.Add(held.holder.token);
    hash.AddSigned(held.held_back_ns);
  }
  template <typename T>
  void operator()(const T&) const {}
};

struct BodyHasher {
  StateHash& hash;

  void operator()(const LockGrantedEvent& granted) const {
    hash.Add(granted.acquire);
    hash.Add(granted.token);
    hash.AddBytes(granted.name);
  }
  void operator()(const WaitEndedEvent& ended) const {
    hash.Add(ended.acquire);
    hash.Add(static_cast<std::uint64_t>(ended.reason));
    hash.AddBytes(ended.name);
  }
  void operator()(const SessionEndedEvent& ended) const {
    hash.Add(static_cast<std::uint64_t>(ended.reason));
  }
};

}  // namespace

void AddReply(const Reply& reply, StateHash& hash) {
  hash.Add(static_cast<std::uint64_t>(reply.code) << 32 | reply.result.index());
  hash.Add(reply.revision);
  if (!reply.message.empty()) hash.AddBytes(reply.message);
  std::visit(ResultHasher{hash}, reply.result);
}

void AddEvent(const SessionEvent& event, StateHash& hash) {
  hash.Add(event.session);
  hash.Add(event.revision);
  hash.Add(event.body.index());
  std::visit(BodyHasher{hash}, event.body);
}

}  // namespace tenure::machine
