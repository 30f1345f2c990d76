#include "machine/reply_hash.h"

#include <variant>

namespace tenure::machine {
namespace {

void AddChange(const Change& change, StateHash& hash) {
  hash.Add(change.revision);
  hash.Add(static_cast<std::uint64_t>(change.kind));
  hash.Add(change.token);
  hash.Add(change.session);
  hash.AddBytes(change.value);
}

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
  void operator()(const LockGranted& granted) const {
    hash.Add(granted.token);
    if (granted.fence != 0 || granted.seat != 0) {
      hash.Add(granted.fence);
      hash.Add(granted.seat);
    }
    if (granted.holds != 1) hash.Add(granted.holds);
    for (const Revision fence : granted.fences) hash.Add(fence);
  }
  void operator()(const LockReleased& released) const {
    if (released.holds != 0) hash.Add(released.holds);
  }
  void operator()(const LockQueued& queued) const {
    hash.Add(queued.ahead);
    hash.Add(queued.holder.token);
    hash.AddSigned(queued.held_back_ns);
    if (!queued.name.empty()) hash.AddBytes(queued.name);
  }
  void operator()(const LockHeld& held) const {
    hash.Add(held.waiting);
    hash.Add(held.holder.token);
    hash.AddSigned(held.held_back_ns);
    if (!held.name.empty()) hash.AddBytes(held.name);
  }
  void operator()(const Deadlock& deadlock) const {
    for (const WaitingOwner& waiting : deadlock.cycle) {
      hash.Add(waiting.session);
      hash.AddBytes(waiting.owner);
      hash.AddBytes(waiting.lock);
    }
  }
  void operator()(const AttemptStarted& started) const {
    hash.Add(started.token);
    hash.Add(started.attempts);
    hash.AddBytes(started.point);
  }
  void operator()(const AttemptInProgress& progress) const {
    hash.Add(progress.holder.token);
    hash.AddSigned(progress.ends_in_ns);
    hash.Add(progress.ahead);
    hash.AddSigned(progress.held_back_ns);
  }
  void operator()(const OperationDone& done) const {
    hash.Add(done.failed);
    hash.AddSigned(done.expires_in_ns);
    hash.AddBytes(done.response);
  }
  void operator()(const AttemptExtended& extended) const { hash.AddSigned(extended.ends_in_ns); }
  void operator()(const Observed& observed) const {
    hash.Add(observed.holder.token);
    hash.Add(observed.gap);
    for (const Change& change : observed.changes) AddChange(change, hash);
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
    for (const Revision fence : granted.fences) hash.Add(fence);
  }
  void operator()(const WaitEndedEvent& ended) const {
    hash.Add(ended.acquire);
    hash.Add(static_cast<std::uint64_t>(ended.reason));
    hash.AddBytes(ended.name);
  }
  void operator()(const LockLostEvent& lost) const {
    hash.Add(lost.acquire);
    hash.Add(lost.token);
    hash.AddBytes(lost.name);  // `by` is in the hash already, from the break itself
  }
  void operator()(const ChangedEvent& changed) const {
    hash.Add(changed.observe);
    hash.Add(changed.gap);
    hash.AddBytes(changed.name);
    AddChange(changed.change, hash);
  }
  void operator()(const AttemptStartedEvent& started) const {
    hash.Add(started.begin);
    hash.Add(started.token);
    hash.AddBytes(started.key);
    hash.AddBytes(started.point);
  }
  void operator()(const OperationEndedEvent& ended) const {
    hash.Add(ended.begin);
    hash.AddBytes(ended.key);
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
