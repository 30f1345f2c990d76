// Child processes of a benchmark run: none outlives it, however it ends.
#ifndef TENURE_BENCH_REPORT_PROCESSES_H_
#define TENURE_BENCH_REPORT_PROCESSES_H_

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace tenure::bench {

// A program that runs beside this one until it is destroyed (SIGTERM, then SIGKILL), or until this
// process dies.
class Server {
 public:
  // Its standard output can be read with ReadLine. Ends this process with a line on stderr if the
  // program cannot be started.
  explicit Server(const std::vector<std::string>& command);
  Server(Server&&) noexcept;
  Server& operator=(Server&&) = delete;
  ~Server();

  // The next line that the program prints; empty if it ended.
  std::string ReadLine();

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

// Runs a program to its end, and returns what it printed. Ends this process with a line on stderr,
// and what the servers said, if it fails or takes longer than `limit`.
std::string Run(const std::vector<std::string>& command, std::chrono::seconds limit);

// A loopback port that was free a moment ago.
int FreePort();

}  // namespace tenure::bench

#endif  // TENURE_BENCH_REPORT_PROCESSES_H_
