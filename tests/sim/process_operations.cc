// Operations that are to be carried out once: a key is new, begun by somebody, or done; the newest
// is the most wanted.
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/sim/process.h"

namespace tenure::sim {

void Process::BeginOne(Slot& slot) {
  const std::uint64_t id = ++all_.last_id_;
  const std::uint64_t back = scene_.world.RandomBelow(3);
  const std::uint64_t number = all_.newest_key_ < back ? 0 : all_.newest_key_ - back;
  const std::string key = absl::StrCat("op-", number);
  BeginOptions options;
  // Of all callers alike, and of several keys the same: who waits for one waits for others, too.
  // One of the locks is others' as well, who share it or take it with others in a set.
  if (number % 4 == 0) options.lock = "with";
  if (number % 4 == 2) options.lock = kSharedWithAttempts;
  switch (scene_.world.RandomBelow(3)) {
    case 0:
      break;
    case 1:
      options.wait = Random(absl::Milliseconds(5), absl::Milliseconds(400));
      break;
    default:
      options.wait = Random(absl::Milliseconds(200), absl::Seconds(5));
      break;
  }
  if (Chance(0.3)) options.deadline = Random(absl::Milliseconds(50), absl::Seconds(2));
  Wait& wait = waits_[id];
  options.cancel = wait.stop.get_token();
  if (Chance(0.15)) {
    wait.cancel_timer = In(Random(absl::ZeroDuration(), absl::Seconds(1)), [this, id] {
      const auto it = waits_.find(id);
      if (it == waits_.end()) return;
      scene_.marks.Visit("wait to begin cancelled");
      std::stop_source stop = it->second.stop;
      stop.request_stop();
    });
  }
  const std::string lock = options.lock;
  const bool bounded = options.deadline != absl::InfiniteDuration();
  slot.session.idempotency("sim").Begin(
      key, "same", std::move(options),
      Safe([this, id, key, lock, bounded, asked = now(),
            session = slot.session.id()](absl::StatusOr<Begun> begun) mutable {
        waits_.erase(id);
        if (!begun.ok()) return;
        if (begun->state == Begun::State::kDone) {
          Revision token = 0;
          const absl::StatusOr<std::string>& result = begun->outcome.result;
          if (!absl::SimpleAtoi(result.ok() ? *result : std::string(result.status().message()),
                                &token)) {
            return scene_.Violated("one outcome", absl::StrCat(key, " is done with ", *result));
          }
          scene_.marks.Visit(result.ok() ? "operation done" : "operation failed");
          scene_.TellAll([&](Invariant& each) { each.OnOutcome(key, token, asked); });
          if (key == absl::StrCat("op-", all_.newest_key_)) ++all_.newest_key_;
        } else if (begun->state == Begun::State::kStarted) {
          if (!lock.empty()) scene_.marks.Visit("attempt one with a lock");
          Share share{.name = lock, .token = begun->attempt.token(), .session = session};
          // Its own deadline is judged by the cluster alone.
          if (bounded) share.name.clear();
          OnBegun(*std::move(begun), std::move(share), asked);
        }
      }));
}

void Process::OnBegun(Begun begun, Share share, absl::Duration asked) {
  const Attempt& attempt = begun.attempt;
  scene_.marks.Visit(attempt.number() == 1 ? "operation begun" : "operation taken over");
  scene_.world.MixIntoTrace(attempt.token());
  scene_.TellAll([&](Invariant& each) {
    each.OnAttempt(attempt.key(), attempt.token(), attempt.recovery_point(), asked);
  });
  if (!scene_.sessions.contains(share.session)) return;  // abandons it
  const std::uint64_t id = ++all_.last_id_;
  Working& working = attempts_[id];
  if (!absl::SimpleAtoi(attempt.recovery_point(), &working.point)) working.point = 0;
  working.attempt = std::move(begun.attempt);
  working.share = std::move(share);
  working.share.id = id;
  working.share.client = number_;
  working.share.valid = [&working] { return working.attempt.Valid(); };
  if (!working.share.name.empty()) {
    const std::vector<const Share*> all = all_.Shares();
    scene_.TellAll([&](Invariant& each) { each.OnShared(working.share, all); });
  }
  working.timer =
      In(Random(absl::Milliseconds(1), absl::Milliseconds(300)), [this, id] { WorkOn(id); });
}

void Process::WorkOn(std::uint64_t id) {
  const auto it = attempts_.find(id);
  if (it == attempts_.end()) return;
  if (Chance(0.5)) return FinishAttempt(id);
  Working& working = it->second;
  const std::string point = absl::StrCat(++working.point);
  working.attempt.Checkpoint(
      point, Random(absl::Milliseconds(100), absl::Seconds(6)),
      Safe([this, id, point, key = working.attempt.key(),
            token = working.attempt.token()](const absl::Status& status) {
        if (status.ok()) {
          scene_.marks.Visit("recovery point kept");
          scene_.TellAll([&](Invariant& each) { each.OnCheckpoint(key, token, point); });
        } else if (absl::IsAborted(status)) {
          scene_.marks.Visit("stale attempt refused");
        }
        const auto still = attempts_.find(id);
        if (still == attempts_.end()) return;
        still->second.timer =
            In(Random(absl::Milliseconds(1), absl::Milliseconds(300)), [this, id] { WorkOn(id); });
      }));
}

void Process::FinishAttempt(std::uint64_t id) {
  const auto it = attempts_.find(id);
  if (it == attempts_.end()) return;
  Attempt attempt = std::move(it->second.attempt);
  attempts_.erase(it);
  if (Chance(0.15)) return scene_.marks.Visit("attempt dropped");
  ++finishing_;
  auto done = Safe([this, key = attempt.key(), token = attempt.token(),
                    asked = now()](const absl::Status& status) {
    --finishing_;
    if (status.ok()) {
      scene_.TellAll([&](Invariant& each) { each.OnOutcome(key, token, asked); });
      if (key == absl::StrCat("op-", all_.newest_key_)) ++all_.newest_key_;
    } else if (absl::IsAborted(status)) {
      scene_.marks.Visit("stale attempt refused");
    }
  });
  const std::string outcome = absl::StrCat(attempt.token());
  const absl::Duration timeout = Random(absl::Milliseconds(100), absl::Seconds(6));
  if (Chance(0.2)) {
    attempt.Fail(absl::NotFoundError(outcome), timeout, std::move(done));
  } else {
    attempt.Complete(outcome, timeout, std::move(done));
  }
}

}  // namespace tenure::sim
