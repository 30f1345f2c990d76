#include "tests/raft/message_text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace tenure::raft {
namespace {

std::uint64_t Number(absl::string_view text) {
  std::uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) ADD_FAILURE() << "not a number: " << text;
  return number;
}

// "7/2": index and term.
std::pair<Index, Term> Place(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, '/');
  return {Number(parts.first), Number(parts.second)};
}

std::vector<Entry> EntriesFromText(absl::string_view text) {
  std::vector<Entry> entries;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> halves = absl::StrSplit(part, ':');
    Entry& entry = entries.emplace_back();
    std::tie(entry.index, entry.term) = Place(halves.first);
    if (halves.second == "config") {  // without the configuration that belongs to it
      entry.kind = EntryKind::kConfiguration;
    } else if (halves.second != "noop") {
      entry.kind = EntryKind::kCommands;
      entry.payload = std::make_shared<const std::string>(halves.second);
    }
  }
  return entries;
}

// The words of a message after its first, by key.
class Fields {
 public:
  explicit Fields(const std::vector<std::string>& words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
      std::pair<std::string, std::string> field = absl::StrSplit(words[i], absl::MaxSplits('=', 1));
      fields_.insert(std::move(field));
    }
  }
  std::uint64_t Get(const std::string& key) const {
    auto it = fields_.find(key);
    return it == fields_.end() ? 0 : Number(it->second);
  }
  std::pair<Index, Term> GetPlace(const std::string& key) const {
    auto it = fields_.find(key);
    return it == fields_.end() ? std::pair<Index, Term>() : Place(it->second);
  }
  std::string Text(const std::string& key) const {
    auto it = fields_.find(key);
    return it == fields_.end() ? "" : it->second;
  }

 private:
  std::map<std::string, std::string> fields_;
};

struct Writer {
  std::string operator()(const VoteRequest& m) const {
    return absl::StrCat(m.pre_vote ? "prevote" : "vote", " t=", m.term, " last=", m.last_index, "/",
                        m.last_term, m.transfer ? " transfer" : "");
  }
  std::string operator()(const VoteResponse& m) const {
    return absl::StrCat(m.pre_vote ? "prevote" : "vote", m.granted ? "-yes" : "-no", " t=", m.term,
                        " asked=", m.request_term);
  }
  std::string operator()(const AppendRequest& m) const {
    std::string text = absl::StrCat("append t=", m.term, " prev=", m.prev_index, "/", m.prev_term);
    if (!m.entries.empty()) absl::StrAppend(&text, " ", ToText(m.entries));
    absl::StrAppend(&text, " commit=", m.commit, " round=", m.round);
    if (m.trim_through != 0) absl::StrAppend(&text, " trim=", m.trim_through);
    if (m.transfer != 0) absl::StrAppend(&text, " transfer=", m.transfer);
    return text;
  }
  std::string operator()(const AppendResponse& m) const {
    std::string text = m.accepted
                           ? absl::StrCat("append-yes t=", m.term, " match=", m.match_index)
                           : absl::StrCat("append-no t=", m.term, " refused=", m.rejected_prev,
                                          " hint=", m.match_index, "/", m.hint_term);
    absl::StrAppend(&text, " applied=", m.applied, " round=", m.round);
    if (m.transfer != 0) absl::StrAppend(&text, " transfer=", m.transfer);
    if (m.priority != 0) absl::StrAppend(&text, " priority=", m.priority);
    return text;
  }
  std::string operator()(const SnapshotRequest& m) const {
    return absl::StrCat("snapshot t=", m.term, " ", m.snapshot.index, "/", m.snapshot.term, " ",
                        m.offset, "+", m.data == nullptr ? 0 : m.data->size(), " of ",
                        m.snapshot.bytes, " round=", m.round);
  }
  std::string operator()(const SnapshotResponse& m) const {
    return absl::StrCat("snapshot-next t=", m.term, " of=", m.index, " offset=", m.offset,
                        " round=", m.round);
  }
  std::string operator()(const TimeoutNow& m) const {
    return absl::StrCat("timeout-now t=", m.term, " transfer=", m.transfer);
  }
};

}  // namespace

std::string ToText(const MemberId& id) {
  return id.incarnation == 1 ? id.name : absl::StrCat(id.name, "#", id.incarnation);
}

MemberId IdFromText(absl::string_view text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('#', 1));
  return {parts.first, parts.second.empty() ? 1 : Number(parts.second)};
}

std::string ToText(const Configuration& configuration) {
  const auto names = [](const std::vector<Server>& servers) {
    return absl::StrJoin(servers, " ", [](std::string* out, const Server& server) {
      absl::StrAppend(out, ToText(server.id));
    });
  };
  std::string text = absl::StrCat("(", names(configuration.voters));
  if (configuration.joint()) absl::StrAppend(&text, " & ", names(configuration.voters_outgoing));
  if (!configuration.learners.empty()) {
    absl::StrAppend(&text, " + ", names(configuration.learners));
  }
  return text + ")";
}

std::string ToText(const Entry& entry) {
  std::string what = "noop";
  if (entry.kind == EntryKind::kConfiguration) what = "config";
  // Entry 1 says what the scenario began with.
  if (entry.configuration != nullptr && entry.index > 1) what = ToText(*entry.configuration);
  if (entry.kind == EntryKind::kCommands) what = entry.payload == nullptr ? "" : *entry.payload;
  if (what.size() > 20 && entry.configuration == nullptr)
    what = absl::StrCat("(", what.size(), " bytes)");
  return absl::StrCat(entry.index, "/", entry.term, " ", what);
}

std::string ToText(const std::vector<Entry>& entries) {
  if (entries.size() > 8) {
    return absl::StrCat("[", ToText(entries.front()), " .. ", ToText(entries.back()), "]");
  }
  return absl::StrCat(
      "[",
      absl::StrJoin(entries, ", ",
                    [](std::string* out, const Entry& e) { absl::StrAppend(out, ToText(e)); }),
      "]");
}

std::string ToText(const Message& message) { return std::visit(Writer(), message); }

Message MessageFromText(const std::vector<std::string>& words) {
  const Fields fields(words);
  const std::string& kind = words.front();
  const bool pre_vote = kind.rfind("prevote", 0) == 0;
  if (kind == "vote" || kind == "prevote") {
    const auto [index, term] = fields.GetPlace("last");
    return VoteRequest{fields.Get("t"), pre_vote, index, term, words.back() == "transfer"};
  }
  if (kind == "snapshot-next") {
    return SnapshotResponse{fields.Get("t"), fields.Get("of"), fields.Get("offset"),
                            fields.Get("round")};
  }
  if (kind == "timeout-now") return TimeoutNow{fields.Get("t"), fields.Get("transfer")};
  if (kind == "append") {
    AppendRequest m;
    m.term = fields.Get("t");
    std::tie(m.prev_index, m.prev_term) = fields.GetPlace("prev");
    if (!fields.Text("entries").empty()) m.entries = EntriesFromText(fields.Text("entries"));
    m.commit = fields.Get("commit");
    m.round = fields.Get("round");
    m.trim_through = fields.Get("trim");
    m.transfer = fields.Get("transfer");
    return m;
  }
  if (kind == "append-yes" || kind == "append-no") {
    AppendResponse m;
    m.term = fields.Get("t");
    m.accepted = kind == "append-yes";
    m.rejected_prev = fields.Get("refused");
    std::tie(m.match_index, m.hint_term) = fields.GetPlace("hint");
    if (m.accepted) m.match_index = fields.Get("match");
    m.applied = fields.Get("applied");
    m.round = fields.Get("round");
    m.transfer = fields.Get("transfer");
    return m;
  }
  const bool granted = kind == "vote-yes" || kind == "prevote-yes";
  if (!granted && kind != "vote-no" && kind != "prevote-no") {
    ADD_FAILURE() << "no such message: " << kind;
  }
  return VoteResponse{fields.Get("t"), fields.Get("asked"), pre_vote, granted};
}

std::string ToText(const WriteBatch& batch) {
  std::string text = absl::StrCat("#", batch.id);
  if (batch.hard_state.has_value()) {
    absl::StrAppend(&text, " t=", batch.hard_state->term);
    if (!batch.hard_state->vote.empty()) {
      absl::StrAppend(&text, " vote=", ToText(batch.hard_state->vote));
    }
  }
  if (batch.chunk.has_value()) {
    absl::StrAppend(&text, " chunk=", batch.chunk->index, ":", batch.chunk->offset, "+",
                    batch.chunk->data->size());
  }
  if (batch.snapshot.has_value()) {
    absl::StrAppend(&text, " snapshot=", batch.snapshot->index, "/", batch.snapshot->term, " ",
                    ToText(*batch.snapshot->configuration));
  }
  if (batch.truncate_from != 0) absl::StrAppend(&text, " cut=", batch.truncate_from);
  if (!batch.entries.empty()) absl::StrAppend(&text, " ", ToText(batch.entries));
  if (batch.trim_through != 0) absl::StrAppend(&text, " trim=", batch.trim_through);
  return text;
}

}  // namespace tenure::raft
