#include "machine/limits.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tenure/v1/log.pb.h"

namespace tenure::machine {

absl::Status CheckLimits(const Limits& limits) {
  const auto bad = [](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("genesis: ", what));
  };
  if (limits.ttl_min_ns <= 0) return bad("the least TTL must be above zero");
  if (limits.ttl_max_ns < limits.ttl_min_ns) return bad("the greatest TTL is below the least");
  if (limits.retention_max_ns <= 0) return bad("the greatest retention must be above zero");
  for (const std::uint64_t limit :
       {limits.sessions_max, limits.locks_max, limits.waiters_per_lock_max,
        limits.waits_per_session_max, limits.locks_per_session_max, limits.window,
        limits.name_bytes_max, limits.cleanup_per_entry, limits.elections_max,
        limits.observers_per_name_max, limits.changes_kept, limits.keys_max, limits.key_bytes_max,
        limits.response_bytes_max, limits.permits_max, limits.locks_at_once_max}) {
    if (limit == 0) return bad("a limit is zero");
  }
  return absl::OkStatus();
}

void AddLimits(const Limits& limits, StateHash& hash) {
  hash.AddSigned(limits.ttl_min_ns);
  hash.AddSigned(limits.ttl_max_ns);
  hash.Add(limits.sessions_max);
  hash.Add(limits.locks_max);
  hash.Add(limits.waiters_per_lock_max);
  hash.Add(limits.waits_per_session_max);
  hash.Add(limits.locks_per_session_max);
  hash.Add(limits.window);
  hash.Add(limits.name_bytes_max);
  hash.Add(limits.value_bytes_max);
  hash.Add(limits.label_bytes_max);
  hash.Add(limits.cleanup_per_entry);
  hash.Add(limits.elections_max);
  hash.Add(limits.observers_per_name_max);
  hash.Add(limits.changes_kept);
  hash.Add(limits.keys_max);
  hash.Add(limits.key_bytes_max);
  hash.Add(limits.response_bytes_max);
  hash.AddSigned(limits.retention_max_ns);
  hash.Add(limits.permits_max);
  hash.Add(limits.locks_at_once_max);
}

void WriteLimits(const Limits& in, v1::Limits* out) {
  out->set_ttl_min_ns(in.ttl_min_ns);
  out->set_ttl_max_ns(in.ttl_max_ns);
  out->set_sessions_max(in.sessions_max);
  out->set_locks_max(in.locks_max);
  out->set_waiters_per_lock_max(in.waiters_per_lock_max);
  out->set_waits_per_session_max(in.waits_per_session_max);
  out->set_locks_per_session_max(in.locks_per_session_max);
  out->set_window(in.window);
  out->set_name_bytes_max(in.name_bytes_max);
  out->set_value_bytes_max(in.value_bytes_max);
  out->set_label_bytes_max(in.label_bytes_max);
  out->set_cleanup_per_entry(in.cleanup_per_entry);
  out->set_elections_max(in.elections_max);
  out->set_observers_per_name_max(in.observers_per_name_max);
  out->set_changes_kept(in.changes_kept);
  out->set_keys_max(in.keys_max);
  out->set_key_bytes_max(in.key_bytes_max);
  out->set_response_bytes_max(in.response_bytes_max);
  out->set_retention_max_ns(in.retention_max_ns);
  out->set_permits_max(in.permits_max);
  out->set_locks_at_once_max(in.locks_at_once_max);
}

Limits ReadLimits(const v1::Limits& in) {
  Limits out;
  out.ttl_min_ns = in.ttl_min_ns();
  out.ttl_max_ns = in.ttl_max_ns();
  out.sessions_max = in.sessions_max();
  out.locks_max = in.locks_max();
  out.waiters_per_lock_max = in.waiters_per_lock_max();
  out.waits_per_session_max = in.waits_per_session_max();
  out.locks_per_session_max = in.locks_per_session_max();
  out.window = in.window();
  out.name_bytes_max = in.name_bytes_max();
  out.value_bytes_max = in.value_bytes_max();
  out.label_bytes_max = in.label_bytes_max();
  out.cleanup_per_entry = in.cleanup_per_entry();
  if (in.has_elections_max()) out.elections_max = in.elections_max();
  if (in.has_observers_per_name_max()) out.observers_per_name_max = in.observers_per_name_max();
  if (in.has_changes_kept()) out.changes_kept = in.changes_kept();
  if (in.has_keys_max()) out.keys_max = in.keys_max();
  if (in.has_key_bytes_max()) out.key_bytes_max = in.key_bytes_max();
  if (in.has_response_bytes_max()) out.response_bytes_max = in.response_bytes_max();
  if (in.has_retention_max_ns()) out.retention_max_ns = in.retention_max_ns();
  if (in.has_permits_max()) out.permits_max = in.permits_max();
  if (in.has_locks_at_once_max()) out.locks_at_once_max = in.locks_at_once_max();
  return out;
}

}  // namespace tenure::machine
