// A cluster of real `tenure serve` processes on loopback, and the program's other subcommands
// against it.
#ifndef TENURE_TESTS_PROCESS_CLUSTER_H_
#define TENURE_TESTS_PROCESS_CLUSTER_H_

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/process/process.h"

namespace tenure::process {

// `tenure` with these arguments, asking `endpoints` if there are any.
Process Tenure(std::vector<std::string> arguments, const std::string& endpoints = "",
               ProcessOptions options = {});
// The same, to its end.
Result RunTenure(std::vector<std::string> arguments, const std::string& endpoints = "");

// Loopback ports that were free a moment ago, outside the range from which the kernel takes the
// ports of outgoing connections. Somebody may still be faster: starters try again.
std::vector<int> FreePorts(int count);

// A port that is taken, by somebody who accepts connections and says nothing.
class Listener {
 public:
  Listener();
  const std::string& address() const { return address_; }

 private:
  cli::Descriptor socket_;
  std::string address_;
};

struct ClusterOptions {
  int members = 3;
  bool assert_new = true;
  std::string data;                // a directory that has one of each member's; empty: in memory
  std::vector<std::string> flags;  // of each `tenure serve`
};

// Starts the members and waits until one leads. They are killed with it.
class Cluster {
 public:
  explicit Cluster(ClusterOptions options = {});

  int size() const { return static_cast<int>(members_.size()); }
  // "n1" is member 0.
  static std::string Name(int member);
  int Number(const std::string& name) const;
  std::vector<int> AllBut(int member) const;
  const std::string& address(int member) const { return addresses_[member]; }
  // Of all of them.
  const std::string& endpoints() const { return endpoints_; }
  Process& member(int member) { return members_[member]; }
  // Starts that member again, and kills it before, if it still lives: its memory is gone.
  void Restart(int member);
  std::string data(int member) const { return options_.data + "/" + Name(member); }

  // What `tenure status --json` says, asking one member, or any.
  nlohmann::json Status(int member) const { return StatusFrom(addresses_[member]); }
  nlohmann::json Status() const { return StatusFrom(endpoints_); }
  // The number of a leader other than `not_member`, once all that are asked name the same; -1, and
  // the test fails, if they never do.
  int AwaitLeader(const std::vector<int>& asked, int not_member = -1) const;
  int AwaitLeader() const { return AwaitLeader(AllBut(-1)); }
  // `tenure inspect lock NAME --json`.
  nlohmann::json Lock(const std::string& name) const;

 private:
  static nlohmann::json StatusFrom(const std::string& endpoints);
  bool Start(const std::vector<int>& ports);
  Process Serve(int member) const;

  ClusterOptions options_;
  std::vector<std::string> addresses_;
  std::string list_;
  std::string endpoints_;
  std::vector<Process> members_;
};

// Whatever a test leaves behind is ended with it: also what a killed program had started.
class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest();
  ~ProcessTest() override;

  // A path in a directory of this test's own.
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  // A file's content, empty if there is none.
  std::string Text(const std::string& name) const;
  // The number in a file, once it is there: how scripts here tell their process ids.
  int AwaitNumber(const std::string& name) const;
  // True if nothing that was started here is alive or becomes so. Only when each Process is over.
  static bool NothingLeft();

 private:
  std::string directory_;
};

}  // namespace tenure::process

#endif  // TENURE_TESTS_PROCESS_CLUSTER_H_
