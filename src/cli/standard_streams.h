// Standard input, output and error, also where the caller has closed them.
#ifndef CLI_STANDARD_STREAMS_H_
#define CLI_STANDARD_STREAMS_H_

namespace tenure::cli {

// Keeps the numbers 0, 1 and 2 of those that are closed from everything that is opened later: what
// is written to standard error must not end in a socket. Reading and writing fail on them as on
// closed ones, and a program that is run finds them closed. First of all in a process; ends it
// where that is not possible.
void ReserveStandardStreams();

}  // namespace tenure::cli

#endif  // CLI_STANDARD_STREAMS_H_
