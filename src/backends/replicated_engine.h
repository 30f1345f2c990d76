// The part of a replicated backend that lives on its Loop: one link, the calls under way, the
// sessions that are listened to.
#ifndef TENURE_BACKENDS_REPLICATED_ENGINE_H_
#define TENURE_BACKENDS_REPLICATED_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "backends/call_table.h"
#include "backends/replicated.h"
#include "tenure/backend.h"
#include "tenure/loop.h"
#include "transport/link.h"

namespace tenure::backends {

constexpr inline std::uint64_t kListenBit = std::uint64_t{1} << 63;  // in ids of kListen requests

// All methods on the Loop only. Kept alive by shared_ptr: callbacks may drop the backend that owns
// it.
class ReplicatedEngine final : public LinkSink,
                               public std::enable_shared_from_this<ReplicatedEngine> {
 public:
  ReplicatedEngine(Loop* loop, LinkFactory factory, ReplicatedOptions options);

  void Start(PendingCall call);
  void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink);
  void Unlisten(SessionId session);

  // Takes no more calls, ends those under way as Shutdown says, but for closes and unlocks that a
  // connected member owes an answer to: `drained` runs when those are answered, or when Stop comes.
  void Drain(absl::AnyInvocable<void() &&> drained);
  // Ends everything, now.
  void Stop();

 private:
  struct Listener {
    Revision after = 0;
    std::shared_ptr<EventSink> sink;
    std::uint64_t request = 0;  // the kListen request under way; 0: none
    bool confirmed = false;     // the present link's member took it
  };
  enum class LinkState { kNone, kBackingOff, kConnecting, kConnected };

  void OnConnected(std::string leader_address) override;
  void OnMessage(ServerMessage message) override;
  void OnClosed(absl::Status why) override;

  void OnReply(const ClientReply& reply);
  void OnEvent(const std::string& bytes);
  void OnListenReply(std::uint64_t request, const ClientReply& reply);
  void OnRefusal(CallTable::Id id, PendingCall* call, const ClientReply& reply);
  void OnNotLeader(const std::string& leader_address);
  void Finish(CallTable::Id id, absl::StatusOr<Reply> outcome);

  // ---- the link (replicated_link.cc)
  void EnsureLink();
  void Connect();
  // Gives the present link up, and connects to `next` (empty: the next endpoint) after a backoff.
  void Reconnect(const std::string& next, const absl::Status& why);
  std::string NextEndpoint();
  void DropLink();
  void ResendAll();
  void SendCall(CallTable::Id id);
  void SendListen(SessionId session, Listener* listener);
  void QueueRequest(ClientRequest request);
  void Flush();
  std::int64_t NextBackoffNs();

  // ---- time
  void ArmTick();
  void OnTick();
  void FinishLate(CallTable::Id id, const PendingCall& call);
  bool OwesAnswer() const;

  Loop* const loop_;
  const LinkFactory factory_;
  const ReplicatedOptions options_;

  CallTable calls_;
  absl::btree_map<SessionId, Listener> listeners_;
  std::uint64_t next_listen_request_ = 0;
  absl::btree_map<std::uint64_t, SessionId> listen_requests_;

  std::unique_ptr<Link> link_;
  LinkState link_state_ = LinkState::kNone;
  std::string address_;  // that the link is to, or that comes next
  std::size_t next_endpoint_ = 0;
  Instant last_heard_;         // or when the first unanswered request left
  std::size_t in_flight_ = 0;  // calls sent on the present link
  std::int64_t backoff_ns_ = 0;
  std::uint64_t random_state_;
  absl::Status last_trouble_;  // told to callers whose time ran out
  TimerHandle backoff_timer_;

  std::vector<ClientRequest> outgoing_;
  bool flush_deferred_ = false;

  TimerHandle tick_;
  bool tick_armed_ = false;

  bool stopped_ = false;
  bool draining_ = false;
  absl::AnyInvocable<void() &&> drained_;
};

}  // namespace tenure::backends

#endif  // TENURE_BACKENDS_REPLICATED_ENGINE_H_
