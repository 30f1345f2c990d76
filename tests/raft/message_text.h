// Messages, entries and batches as the scenarios write them, both ways.
#ifndef TENURE_TESTS_RAFT_MESSAGE_TEXT_H_
#define TENURE_TESTS_RAFT_MESSAGE_TEXT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tenure/raft_types.h"

namespace tenure::raft {

// "n1", or "n1#2" for incarnation 2 and so on; 1 goes without saying.
std::string ToText(const MemberId& id);
MemberId IdFromText(absl::string_view text);

// "2/1 noop", "3/1 x", "1/1 config".
std::string ToText(const Configuration& configuration);
std::string ToText(const Entry& entry);
std::string ToText(const std::vector<Entry>& entries);

// For example "append t=2 prev=1/1 [2/2 noop, 3/2 x] commit=1 round=4".
std::string ToText(const Message& message);
// The same words back, entries without blanks: "append t=2 prev=1/1 entries=2/2:noop,3/2:x
// round=4". Reports a test failure for what it cannot read.
Message MessageFromText(const std::vector<std::string>& words);

// For example "#3 t=2 vote=n1 cut=4 [4/2 noop] trim=1".
std::string ToText(const WriteBatch& batch);

}  // namespace tenure::raft

#endif  // TENURE_TESTS_RAFT_MESSAGE_TEXT_H_
