// The statuses that the program ends with, besides COMMAND's own. Those of sysexits.h where one
// fits.
#ifndef CLI_EXIT_STATUS_H_
#define CLI_EXIT_STATUS_H_

namespace tenure::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 64;        // flags, names or configuration that cannot work
inline constexpr int kExitUnavailable = 69;  // no cluster answered; or the address cannot be served
inline constexpr int kExitMismatch = 73;     // the key was begun with another fingerprint
inline constexpr int kExitNotAcquired = 75;  // not acquired in time
inline constexpr int kExitLost = 76;         // lost while COMMAND was running; COMMAND was ended
inline constexpr int kExitCannotRun = 126;   // COMMAND is there and cannot be run
inline constexpr int kExitNotFound = 127;    // COMMAND is not there
inline constexpr int kExitSignalBase = 128;  // plus the number of the signal that ended COMMAND

}  // namespace tenure::cli

#endif  // CLI_EXIT_STATUS_H_
