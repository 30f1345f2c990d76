// Between the machine's structs and the schema's bytes. The only place that decodes what clients
// sent.
#ifndef TENURE_MACHINE_CODEC_H_
#define TENURE_MACHINE_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "machine/machine.h"
#include "tenure/command.h"

namespace tenure::v1 {
class Change;
}  // namespace tenure::v1

namespace tenure::machine {

// Commands are encoded once, by the backend that sends them, and stay these bytes until they are
// applied.
std::string EncodeCommand(const Command& command);
// kInvalidArgument: not a command, or one with a field that this version does not know;
// kUnimplemented: needs a newer machine. `newest` is here, and below, the newest version that this
// program has: a test may play an older or a newer program.
absl::StatusOr<Command> DecodeCommand(absl::string_view bytes,
                                      std::uint32_t newest = kMachineVersion);

std::string EncodeReply(const Reply& reply);
absl::StatusOr<Reply> DecodeReply(absl::string_view bytes);

std::string EncodeEvent(const SessionEvent& event);
absl::StatusOr<SessionEvent> DecodeEvent(absl::string_view bytes);

// Also for snapshots.
void WriteChange(const Change& in, v1::Change* out);
Change ReadChange(const v1::Change& in);

// The payload of an entry of commands: the commands' own bytes, one after another.
std::string EncodePayload(absl::Span<const absl::string_view> commands);
absl::StatusOr<std::vector<Command>> DecodePayload(absl::string_view bytes,
                                                   std::uint32_t newest = kMachineVersion);

std::string EncodeGenesis(const Genesis& genesis);
absl::StatusOr<Genesis> DecodeGenesis(absl::string_view bytes,
                                      std::uint32_t newest = kMachineVersion);

// The payload of an entry that raises the machine's version.
std::string EncodeVersionRaise(std::uint32_t version);
absl::StatusOr<std::uint32_t> DecodeVersionRaise(absl::string_view bytes,
                                                 std::uint32_t newest = kMachineVersion);

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_CODEC_H_
