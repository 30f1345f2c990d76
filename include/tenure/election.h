// An election: of those who campaign, one leads, for as long as its session lives.
//
//   absl::StatusOr<tenure::Leadership> leadership =
//       coordinator.election("scheduler").Campaign("host-7:9000");
//   while (leadership->Valid()) RunOneRound(leadership->term());
//
// The term is a fencing token: give it along with every write that only the leader may do, and let
// what is written to refuse lower ones (fencing.h). That is what makes two leaders harmless when
// one was paused past its lease.
//
// Any number of elections, and any number of candidates of one session. Elections and locks of the
// same name have nothing to do with each other.
#ifndef TENURE_ELECTION_H_
#define TENURE_ELECTION_H_

#include <concepts>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/command.h"
#include "tenure/observer.h"
#include "tenure/types.h"

namespace tenure {

namespace client {
class Grant;       // src/client/grant.h
class HandleCore;  // src/client/handle_core.h
class LeadState;   // src/client/lead_state.h
}  // namespace client

// The lead of an election, from Campaign to Resign, loss or destruction. Move-only. Thread-safe but
// for moves and destruction.
class Leadership {
 public:
  Leadership() noexcept;  // of nothing
  explicit Leadership(std::unique_ptr<client::Grant> grant);
  Leadership(Leadership&&) noexcept;
  Leadership& operator=(Leadership&&) noexcept;
  // Resigns in the background: returns at once, whatever the network does.
  ~Leadership();

  const std::string& name() const;
  // The fencing token of this term: greater than that of every earlier term, and of every earlier
  // grant in the cluster. Below 2^53.
  Revision term() const;
  // What this one says of itself: what it campaigned with, or last proclaimed with success.
  std::string value() const;
  // True while this one certainly leads: judged by this machine's clocks against the lease, not by
  // names, and without the network (PITFALLS E1). Once false it is never true again, but for a
  // HandOver that came to nothing.
  bool Valid() const;
  // Fires when the lead is lost: with the session, or because an administrator took it. Once, and
  // only for one that led; silent after Resign, HandOver and Session::Close (PITFALLS E5).
  std::stop_token lost() const;
  // OK while Valid() is true; otherwise why it is not, as LockGuard::status: kAborted, with by whom
  // and why, if an administrator took the lead; kFailedPrecondition if the session is over, the
  // lead is handed over, or this is empty.
  absl::Status status() const;

  // Changes the value that observers see. One round trip and one of replication. kNotFound: it
  // leads no more. kUnavailable: an earlier one is under way still; they never overtake one
  // another. Others as of Resign.
  absl::Status Proclaim(absl::string_view value, absl::Duration timeout = absl::Seconds(5));
  void Proclaim(absl::string_view value, absl::Duration timeout,
                absl::AnyInvocable<void(absl::Status) &&> done);

  // Ends the term; the next candidate leads at once. It names the term, so that a late one ends no
  // successor's (PITFALLS E2). The Leadership is empty in any case.
  //   OK                 it led until now
  //   kNotFound          it did not lead any more
  //   kDeadlineExceeded  no answer within `timeout`; it is tried on in the background
  //   kUnknown           the lease was over before an answer came
  absl::Status Resign(absl::Duration timeout = absl::Seconds(5));
  void Resign(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);

  // Resigns in favour of one candidate (see Election::Describe), which leads in the same step,
  // whatever the order. From the call on it is not Valid(): the successor may lead before this one
  // hears of it.
  //   OK                   that one leads, and the Leadership is empty
  //   kNotFound            that one is no candidate any more, and this one leads on if it is
  //                        Valid(); or this one led no more
  //   kFailedPrecondition  another HandOver is under way
  //   kDeadlineExceeded    no answer within `timeout`; it is tried on in the background, and this
  //                        one leads on only if it becomes Valid() again
  //   others               as Resign
  absl::Status HandOver(const Candidate& candidate, absl::Duration timeout = absl::Seconds(5));
  void HandOver(const Candidate& candidate, absl::Duration timeout,
                absl::AnyInvocable<void(absl::Status) &&> done);

 private:
  friend class Election;

  std::unique_ptr<client::Grant> grant_;
  std::shared_ptr<client::LeadState> state_;
};

struct CampaignOptions {
  // What the leader says of itself to observers: an address, say. Up to 4 KiB.
  std::string value;
  // How long to be a candidate, from the call, on this machine's clocks. Zero leads at once or not
  // at all; negative is refused. Waiting costs no thread, and ends by a push.
  absl::Duration wait = absl::InfiniteDuration();
  // Among candidates the greater priority is elected first, then the earlier campaign. Up to 255.
  // No leader is deposed for a greater one.
  std::uint32_t priority = 0;
  // Ends the campaign with kCancelled when it is stopped.
  std::stop_token cancel;
};

// A handle on an election's name: cheap to copy, thread-safe. Errors as of Mutex::Lock: kAborted is
// a campaign whose wait is over, and says who leads.
class Election {
 public:
  using CampaignCallback = absl::AnyInvocable<void(absl::StatusOr<Leadership>) &&>;

  Election() = default;  // empty: every call answers kFailedPrecondition
  explicit Election(std::shared_ptr<client::HandleCore> core) : core_(std::move(core)) {}

  const std::string& name() const;

  // Becomes a candidate, and then the leader. One round trip and one of replication where nobody
  // leads.
  absl::StatusOr<Leadership> Campaign(CampaignOptions options = {});
  void Campaign(CampaignOptions options, CampaignCallback done);
  // With a value, and else as by default.
  template <typename Text>
  requires std::convertible_to<const Text&, absl::string_view> absl::StatusOr<Leadership> Campaign(
      const Text& value) {
    return Campaign(CampaignOptions{.value = std::string(absl::string_view(value))});
  }

  // Campaigns, runs `lead` each time it is elected, and campaigns again after it has returned,
  // until options.cancel is stopped: OK then. It resigns when `lead` returns, so `lead` goes on
  // for as long as leadership.Valid() (or until lost() fires) and it wants to. Each term is one
  // call, and a lead that is lost is told by that call's lost() alone, once (PITFALLS E4, E5). What
  // passes (no cluster, an implicit session that was lost) is tried again; what does not, the end
  // of options.wait among it, is returned. Blocks; `lead` runs on the calling thread.
  absl::Status Run(const CampaignOptions& options, absl::FunctionRef<void(Leadership&)> lead);

  // The same without a thread that waits: `lead` is called each time it is elected, and says
  // `again` once it is done with the term and has resigned, from any thread; dropping `again` says
  // so, too. `done` is called once, when options.cancel was stopped and the last term is over, or
  // with what does not pass. Both are called as other callbacks are, and must not block. Until
  // `done` it counts as a copy of this handle.
  using Again = absl::AnyInvocable<void() &&>;
  void Run(CampaignOptions options, absl::AnyInvocable<void(Leadership, Again again)> lead,
           absl::AnyInvocable<void(absl::Status) &&> done);

  // Who leads, the candidates in the order in which they will, and the last changes: a linearizable
  // read.
  absl::StatusOr<ElectionDescription> Describe(absl::Duration timeout = absl::Seconds(5));
  void Describe(absl::Duration timeout,
                absl::AnyInvocable<void(absl::StatusOr<ElectionDescription>) &&> done);

  // Every change from now on, after first who leads now; or, with a revision, every change after
  // it. Costs nothing until its first Next.
  Observer Observe(Revision after = 0);

 private:
  std::shared_ptr<client::HandleCore> core_;
};

}  // namespace tenure

#endif  // TENURE_ELECTION_H_
