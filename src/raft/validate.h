// What no correct leader sends, told from the message alone.
#ifndef TENURE_RAFT_VALIDATE_H_
#define TENURE_RAFT_VALIDATE_H_

#include "absl/status/status.h"
#include "tenure/raft_types.h"

namespace tenure::raft {

// False if the entries are not contiguous from prev_index + 1, their terms or stamps fall, they are
// of a later term than the message, or a configuration is missing or out of place.
bool WellFormed(const AppendRequest& request);

// An error if it could not be in force: nobody votes, a name votes twice in one half, or an
// incarnation is unknown.
absl::Status CheckConfiguration(const Configuration& configuration);

}  // namespace tenure::raft

#endif  // TENURE_RAFT_VALIDATE_H_
