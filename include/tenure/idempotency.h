// Operations that take effect once, whoever retries them, and answer the same to all.
//
//   absl::StatusOr<std::string> receipt =
//       coordinator.idempotency("payments").Execute(
//           request.key, tenure::Fingerprint(request.body),
//           [&](tenure::Attempt& attempt) { return Charge(request, attempt.token()); });
//
// A record is known by scope and key, and lives in the cluster: who begins a key first attempts it,
// all others wait for its outcome, or find it. If whoever attempts it dies, the next one takes
// over, with a higher token and the last recovery point. What was completed is kept for its
// retention and answers every later Begin; nobody can complete it again.
//
// What no coordinator can promise is that `fn` itself runs once: it may run, and its caller die
// before the outcome is stored. So pass attempt.token() to what `fn` changes, and let it refuse
// lower ones (fencing.h); or let it be told apart by the key; or store recovery points.
#ifndef TENURE_IDEMPOTENCY_H_
#define TENURE_IDEMPOTENCY_H_

#include <cstdint>
#include <functional>
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
#include "tenure/types.h"

namespace tenure {

namespace client {
class AttemptCore;  // src/client/attempt_core.h
class HandleCore;   // src/client/handle_core.h
}  // namespace client

// Whether a failure says something about the operation, so that a retry would fail likewise, and
// is therefore worth storing: kInvalidArgument, kNotFound, kAlreadyExists, kPermissionDenied,
// kFailedPrecondition, kOutOfRange, kUnimplemented. Others pass (kUnavailable, kAborted,
// kUnauthenticated, ...): stored, they would be replayed for a day (PITFALLS I5). What a Tenure
// call within the operation answers is not about the operation: translate a kFailedPrecondition of
// a session that is over, or give your own ExecuteOptions::stores.
bool IsLastingFailure(const absl::Status& failure);

// What came of an operation.
struct StoredOutcome {
  // What Complete stored, or the Status that Fail stored.
  absl::StatusOr<std::string> result = absl::UnknownError("none yet");
  // How long it is still kept, in cluster time.
  absl::Duration expires_in;
};

// The right to carry out an operation, until it is finished. Move-only. Thread-safe but for moves
// and destruction. Destroyed without an outcome it is abandoned, in the background: the next one to
// begin may start at once.
//
// Complete, Fail and Abandon end it, and answer
//   OK                  stored (or given up)
//   kAborted            refused: the attempt was taken over, broken, or is over; nothing was stored
//   kInvalidArgument    the response is too long (64 KiB); nothing was stored, and the attempt goes
//                       on
//   kDeadlineExceeded   no answer within `timeout`: it may be stored, and is tried further in the
//                       background until the lease is over
//   kUnknown            the lease was over before an answer came: it may be stored
// and one round trip to the leader and one of replication are their cost, as of Checkpoint and
// Extend.
class Attempt {
 public:
  Attempt() noexcept;  // of nothing: calls answer kFailedPrecondition
  explicit Attempt(std::shared_ptr<client::AttemptCore> core);
  Attempt(Attempt&&) noexcept;
  Attempt& operator=(Attempt&&) noexcept;
  ~Attempt();

  const std::string& scope() const;
  const std::string& key() const;
  // The fencing token of the attempt: greater than that of all earlier ones.
  Revision token() const;
  // This is the nth attempt since the key was begun.
  std::uint64_t number() const;
  // How far an earlier attempt came: what it gave to Checkpoint last. Empty: nothing, or this is
  // the first.
  const std::string& recovery_point() const;
  // True while the session that the attempt belongs to certainly lives and it is not known that
  // somebody took the attempt. Its own deadline, if it has one, is judged by the cluster alone:
  // after that another may have it some time before this one hears of it.
  bool Valid() const;
  // Fires when Valid() turns false, but for Session::Close.
  std::stop_token lost() const;
  // OK while Valid() is true; otherwise why it is not, as LockGuard::status: kAborted, with by whom
  // and why, if an administrator broke the attempt, or the lock that it has, or somebody took it
  // over after its deadline.
  absl::Status status() const;

  // Stores how far the attempt has come, for whoever takes over (up to 4 KiB), and starts its
  // deadline anew. kAborted if it was taken over: stop. kUnavailable while an earlier Checkpoint or
  // Extend is under way still: they never overtake one another.
  absl::Status Checkpoint(absl::string_view point, absl::Duration timeout = absl::Seconds(5));
  void Checkpoint(absl::string_view point, absl::Duration timeout,
                  absl::AnyInvocable<void(absl::Status) &&> done);
  // The attempt may be taken over `deadline` from now, not before. Errors as for Checkpoint.
  absl::Status Extend(absl::Duration deadline, absl::Duration timeout = absl::Seconds(5));
  void Extend(absl::Duration deadline, absl::Duration timeout,
              absl::AnyInvocable<void(absl::Status) &&> done);

  // Stores `response`, which answers every later Begin.
  absl::Status Complete(absl::string_view response, absl::Duration timeout = absl::Seconds(5));
  void Complete(absl::string_view response, absl::Duration timeout,
                absl::AnyInvocable<void(absl::Status) &&> done);
  // Stores a failure that no retry changes; likewise. It must not be OK.
  absl::Status Fail(const absl::Status& failure, absl::Duration timeout = absl::Seconds(5));
  void Fail(const absl::Status& failure, absl::Duration timeout,
            absl::AnyInvocable<void(absl::Status) &&> done);
  // Stores nothing: the next one to begin attempts it anew. The recovery point is kept.
  absl::Status Abandon(absl::Duration timeout = absl::Seconds(5));
  void Abandon(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);

 private:
  void Finish(Outcome outcome, std::string response, absl::Duration timeout,
              absl::AnyInvocable<void(absl::Status) &&> done);

  std::shared_ptr<client::AttemptCore> core_;
};

struct BeginOptions {
  // How long to wait while another one attempts it, on this machine's clocks. Zero does not wait.
  absl::Duration wait = absl::ZeroDuration();
  // Ends the wait with kCancelled when it is stopped.
  std::stop_token cancel;
  // Of the attempt, from its start, in cluster time: past it the next one may take over although
  // the session lives. Until somebody does, its token still finishes it. Forever by default: the
  // session's own lease finds a dead process, and only you know how long a live one may take.
  absl::Duration deadline = absl::InfiniteDuration();
  // How long the outcome is kept, and a recovery point without one; a day outlasts most retries.
  // At most 30 days. Whoever attempts it says so; who waits for it may lengthen it, not shorten it.
  absl::Duration retention = absl::Hours(24);
  // The name of a lock that is taken together with the attempt, in one command, and held exactly as
  // long: token() is the lock's, too. What ends one ends the other in the same moment, so nothing
  // is completed by who has lost the lock, and whoever gets the lock next finds the outcome or may
  // attempt it. It waits in the lock's queue; the record is looked at when the call comes, and
  // again when the lock is free. All who may attempt a key name the same lock: kFailedPrecondition
  // while it is attempted without it. Empty: no lock.
  std::string lock;
  std::string value;  // of the lock, as LockOptions::value
};

struct WaitOptions {
  absl::Duration wait = absl::InfiniteDuration();
  std::stop_token cancel;
};

struct ExecuteOptions {
  // As in BeginOptions. Half a minute is as long as most callers have.
  absl::Duration wait = absl::Seconds(30);
  std::stop_token cancel;
  absl::Duration deadline = absl::InfiniteDuration();
  absl::Duration retention = absl::Hours(24);
  std::string lock;
  std::string value;
  // Which failures of `fn` are stored; IsLastingFailure if empty. Others abandon the attempt.
  std::function<bool(const absl::Status&)> stores;
};

// What a Begin was answered with.
struct Begun {
  enum class State {
    kStarted,     // `attempt` is yours
    kInProgress,  // another one attempts it; see `progress`
    kDone,        // `outcome` is there
  };
  State state = State::kInProgress;
  Attempt attempt;
  AttemptInProgress progress;
  StoredOutcome outcome;
};

// The records of one scope: cheap to copy, thread-safe. Errors, besides those named:
//   kAlreadyExists       the key was begun with another fingerprint: another operation has it
//   kCancelled           `cancel` was stopped, or the backend was shut down
//   kUnavailable         no cluster answered within the wait, or within 5 s, or not any more
//                        (retry-safe)
//   kResourceExhausted   the cluster is overloaded, or keeps as many keys as it may (retry-safe)
//   kFailedPrecondition  the session is over; open a new one
//   kInvalidArgument     an empty or overlong key, scope or fingerprint (512 bytes each), a NUL in
//                        the scope
class IdempotencyStore {
 public:
  IdempotencyStore() = default;  // empty: every call answers kFailedPrecondition
  explicit IdempotencyStore(std::shared_ptr<client::HandleCore> core) : core_(std::move(core)) {}

  const std::string& scope() const;

  // Begins the operation, or tells what is known of it. One round trip to the leader and one of
  // replication; then, with a wait, a push. Who waits takes over in the order of their calls.
  absl::StatusOr<Begun> Begin(absl::string_view key, absl::string_view fingerprint,
                              BeginOptions options = {});
  void Begin(absl::string_view key, absl::string_view fingerprint, BeginOptions options,
             absl::AnyInvocable<void(absl::StatusOr<Begun>) &&> done);

  // Begins the operation and carries it out, or waits for whoever does. Answers what `fn` returned,
  // here or elsewhere, now or earlier. `fn` runs on the calling thread, at most once in one call.
  // It may throw: the attempt is then abandoned.
  //
  //   kAborted            another one still attempts it, and the wait is over; or this attempt was
  //                       taken over while `fn` ran, and its result was not stored: ask again for
  //                       the one that counts
  //   kDeadlineExceeded,
  //   kUnknown            `fn` ran, and whether its result was stored is not known: ask again
  //   kInvalidArgument    also if `fn` ran and returned more than 64 KiB: that is not stored, and
  //                       the next call runs `fn` again. Return less, or a reference to it
  //   what `fn` returned  a failure is stored if IsLastingFailure, or `stores`, says so: its code
  //                       and message, not its payloads
  absl::StatusOr<std::string> Execute(absl::string_view key, absl::string_view fingerprint,
                                      absl::FunctionRef<absl::StatusOr<std::string>(Attempt&)> fn,
                                      ExecuteOptions options = {});

  // What takes the result of an operation, from any thread, once. Dropped without one, the attempt
  // is abandoned, and the call answers kCancelled.
  using ResultCallback = absl::AnyInvocable<void(absl::StatusOr<std::string>) &&>;
  // The same without a thread that waits: `fn` starts the operation and gives what came of it to
  // `finish`; the attempt lives until then. `fn` runs once at most and `done` once, on the
  // backend's Loop, inside this call or inside `finish`; they must not block.
  void Execute(absl::string_view key, absl::string_view fingerprint,
               absl::AnyInvocable<void(Attempt&, ResultCallback finish) &&> fn,
               ExecuteOptions options, ResultCallback done);

  // Waits for the outcome without ever attempting. kNotFound: nobody began it. kAborted: there is
  // none yet, and the wait is over.
  absl::StatusOr<StoredOutcome> Wait(absl::string_view key, WaitOptions options = {});
  void Wait(absl::string_view key, WaitOptions options,
            absl::AnyInvocable<void(absl::StatusOr<StoredOutcome>) &&> done);

  // What is known of it: a linearizable read. Its state is kAbsent if there is nothing.
  absl::StatusOr<OperationDescription> Get(absl::string_view key,
                                           absl::Duration timeout = absl::Seconds(5));
  void Get(absl::string_view key, absl::Duration timeout,
           absl::AnyInvocable<void(absl::StatusOr<OperationDescription>) &&> done);

  // Forgets the outcome, or what is left of attempts: the next Begin is the first. OK also if there
  // was nothing. kFailedPrecondition while it is attempted or waited for.
  absl::Status Forget(absl::string_view key, absl::Duration timeout = absl::Seconds(5));
  void Forget(absl::string_view key, absl::Duration timeout,
              absl::AnyInvocable<void(absl::Status) &&> done);

  // Records of the scope by key, after `after`, a page at a time; linearizable.
  absl::StatusOr<OperationList> List(absl::string_view after = "", std::uint32_t limit = 1000,
                                     absl::Duration timeout = absl::Seconds(5));
  void List(absl::string_view after, std::uint32_t limit, absl::Duration timeout,
            absl::AnyInvocable<void(absl::StatusOr<OperationList>) &&> done);

 private:
  std::shared_ptr<client::HandleCore> core_;
};

// The outcome of a description, if it has one: kNotFound otherwise.
absl::StatusOr<std::string> OutcomeOf(const OperationDescription& description);

// SHA-256 of `bytes`, as 64 hexadecimal digits: a fingerprint for requests that are longer than one
// may be. Give it bytes that are the same whenever the request is: a serialised protobuf is not, in
// general.
std::string Fingerprint(absl::string_view bytes);

}  // namespace tenure

#endif  // TENURE_IDEMPOTENCY_H_
