// Whoever asks this member something: a client's connection, a port into this process, a port of
// another member that passes requests on. Each has one message a turn, which collects its answers
// and events.
#ifndef TENURE_MEMBER_ASKERS_H_
#define TENURE_MEMBER_ASKERS_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "member/node.h"
#include "tenure/transport.h"
#include "tenure/types.h"

namespace tenure::member {

struct Asker {
  enum class Kind : std::uint8_t { kNone, kConnection, kPort, kForwarded };

  Kind kind = Kind::kNone;
  std::uint32_t generation = 0;
  std::uint64_t id = 0;      // of the connection or port; at kForwarded the origin
  MemberId peer;             // kForwarded: the member whose port it is
  PortSink* sink = nullptr;  // kPort
  bool listened = false;     // has asked for events, here or through here
  bool dirty = false;        // `out` waits for the turn's end
  ServerMessage out;
  std::size_t out_bytes = 0;  // of its long replies
  // kPort: what was passed on to the leader and is not answered yet.
  struct Forwarded {
    RequestKind kind = RequestKind::kWrite;
    Instant since;
  };
  absl::flat_hash_map<std::uint64_t, Forwarded> forwarded;
  std::vector<ClientRequest> to_forward;  // this turn's
  // kForwarded: how many messages were sent to it; kPort: the number of the last that came.
  std::uint64_t answers = 0;
  Instant asked_at;  // kForwarded: last
};

// Names an asker; stays false for its slot's next tenant.
struct AskerRef {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const AskerRef&, const AskerRef&) = default;
};

// All lookups are O(1). Not thread-safe.
class Askers {
 public:
  // Ports are numbered from `first_port` on: a member that comes back under its incarnation must
  // not take answers to its earlier process's requests for its own.
  explicit Askers(PortId first_port) : last_port_(first_port) {}

  AskerRef Connection(ConnectionId id) {
    return FindOrAdd(connections_, id, Asker::Kind::kConnection);
  }
  AskerRef AddPort(PortSink* sink);
  // A port that was closed: absent.
  Asker* Port(PortId id, AskerRef* ref);
  AskerRef Forwarded(const MemberId& peer, std::uint64_t origin);

  // Null once it is gone.
  Asker* Find(AskerRef ref) {
    if (ref.slot >= slots_.size() || slots_[ref.slot].generation != ref.generation) return nullptr;
    return &slots_[ref.slot];
  }

  void RemoveConnection(ConnectionId id);
  void RemovePort(PortId id);
  void RemoveForwarded(const MemberId& peer, std::uint64_t origin);
  void RemoveAllForwarded();
  // Those of `kept` slots, and those who asked within `idle` before `now`, stay.
  void RemoveIdleForwarded(const absl::flat_hash_set<std::uint32_t>& kept, Instant now,
                           absl::Duration idle);
  bool HasForwarded(const MemberId& peer, std::uint64_t origin) const {
    return forwarded_.contains({peer, origin});
  }
  std::size_t forwarded_count() const { return forwarded_.size(); }

  // What waits to be sent. The reference holds until the next call.
  ServerMessage& Out(AskerRef ref, Asker& asker) {
    if (!std::exchange(asker.dirty, true)) dirty_.push_back(ref);
    return asker.out;
  }
  std::vector<AskerRef> TakeDirty() { return std::exchange(dirty_, {}); }

  void ForEach(absl::FunctionRef<void(AskerRef, Asker&)> visit);

 private:
  AskerRef Add(Asker::Kind kind, std::uint64_t id);
  AskerRef FindOrAdd(absl::flat_hash_map<std::uint64_t, std::uint32_t>& ids, std::uint64_t id,
                     Asker::Kind kind);
  void Free(std::uint32_t slot);
  void RemoveForwardedIf(absl::FunctionRef<bool(std::uint32_t)> gone);

  std::vector<Asker> slots_;
  std::vector<std::uint32_t> free_;
  absl::flat_hash_map<std::uint64_t, std::uint32_t> connections_;
  absl::flat_hash_map<std::uint64_t, std::uint32_t> ports_;
  absl::flat_hash_map<std::pair<MemberId, std::uint64_t>, std::uint32_t> forwarded_;
  PortId last_port_;
  std::vector<AskerRef> dirty_;
};

// Who wants to hear of a session's events. The latest few who asked: earlier ones are most likely
// connections that their client gave up.
class Listeners {
 public:
  void Add(SessionId session, AskerRef asker);
  void Remove(SessionId session, AskerRef asker);
  void Forget(SessionId session) { by_session_.erase(session); }
  void Clear() { by_session_.clear(); }
  bool empty() const { return by_session_.empty(); }

  using Few = absl::InlinedVector<AskerRef, 1>;
  // Of each session, the slot of whoever asked last.
  absl::flat_hash_set<std::uint32_t> LatestSlots() const;
  // Null: nobody.
  const Few* Of(SessionId session) const {
    const auto it = by_session_.find(session);
    return it == by_session_.end() ? nullptr : &it->second;
  }

 private:
  static constexpr std::size_t kFew = 4;
  absl::flat_hash_map<SessionId, Few> by_session_;
};

}  // namespace tenure::member

#endif  // TENURE_MEMBER_ASKERS_H_
