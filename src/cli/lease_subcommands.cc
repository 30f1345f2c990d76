// The flags of those that run COMMAND under a lease: lock, once and elect.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cli/subcommand.h"

namespace tenure::cli {
namespace {

// What all that run COMMAND under a lease ask of their flags; empty if they can work.
std::string LeaseTrouble(LeaseFlags& flags, const char* subcommand, const char* what,
                         std::vector<std::string> command) {
  if (flags.ttl < absl::Seconds(1)) {
    return absl::StrCat("--ttl: ", absl::FormatDuration(flags.ttl),
                        " is too short; leases last one second at least");
  }
  if (flags.ttl == absl::InfiniteDuration()) {
    return "--ttl: a lease has an end; 60s is the most that a cluster grants";
  }
  if (flags.name.empty()) return absl::StrCat("the ", what, " is empty; give it one");
  if (command.empty()) {
    return absl::StrCat("no COMMAND: write `tenure ", subcommand, " ", flags.name,
                        " -- COMMAND...`");
  }
  flags.command = std::move(command);
  return "";
}

Invocation CheckLock(LockFlags flags, const std::string& permits, bool try_once,
                     std::vector<std::string> command) {
  if (try_once) flags.wait = absl::ZeroDuration();
  if (!permits.empty()) {
    const std::vector<absl::string_view> parts = absl::StrSplit(permits, '/');
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &flags.permits) ||
        !absl::SimpleAtoi(parts[1], &flags.total) || flags.permits == 0 ||
        flags.permits > flags.total) {
      return Usage("lock", absl::StrCat("--permits: '", permits,
                                        "' is not K/N, K of N permits, with K from 1 to N"));
    }
  }
  const std::string trouble = LeaseTrouble(flags, "lock", "lock's NAME", std::move(command));
  if (!trouble.empty()) return Usage("lock", trouble);
  return flags;
}

Invocation CheckOnce(OnceFlags flags, std::vector<std::string> command) {
  if (flags.retention <= absl::ZeroDuration() || flags.retention == absl::InfiniteDuration()) {
    return Usage("once", "--retention: an outcome is kept for some time, and not for ever: 24h");
  }
  if (flags.retention > absl::Hours(30 * 24)) {
    return Usage("once", "--retention: an outcome is kept for 30 days, 720h, at most");
  }
  const std::string trouble = LeaseTrouble(flags, "once", "KEY", std::move(command));
  if (!trouble.empty()) return Usage("once", trouble);
  return flags;
}

Invocation CheckElect(ElectFlags flags, std::vector<std::string> command) {
  if (flags.wait == absl::ZeroDuration()) {
    return Usage("elect", "--wait: a candidate waits for its election: 30s, or inf");
  }
  const std::string trouble = LeaseTrouble(flags, "elect", "election's NAME", std::move(command));
  if (!trouble.empty()) return Usage("elect", trouble);
  return flags;
}

void AddLease(CLI::App* app, LeaseFlags* flags) {
  AddDuration(app, "--ttl", &flags->ttl,
              "The lease: how long a holder that vanished keeps others waiting; from 1s");
  AddDuration(
      app, "--grace", &flags->grace,
      "When the lease is being lost, COMMAND gets SIGTERM that long before SIGKILL; a quarter "
      "of the TTL at most");
}

class Lock final : public Subcommand {
 public:
  Lock(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "lock",
                   "Run COMMAND while holding a lock: tenure lock NAME [flags] -- COMMAND...") {
    CLI::App* const lock = app();
    lock->add_option("NAME", flags_.name, "The lock's name")->required();
    CLI::Option* wait_option =
        AddDuration(lock, "--wait", &flags_.wait, "How long to wait for the lock; inf: for ever");
    lock->add_flag("--try", try_once_, "Do not wait")->excludes(wait_option);
    CLI::Option* shared_option =
        lock->add_flag("--shared", flags_.shared, "Hold it together with others that share it");
    lock->add_option("--permits", permits_, "Hold K of the N permits of a semaphore")
        ->type_name("K/N")
        ->excludes(shared_option);
    AddLease(lock, &flags_);
    lock->add_option("--value", flags_.value, "Shown to whoever inspects the lock")
        ->type_name("TEXT");
    AddEndpoints(lock, endpoints);
    lock->footer(
        "COMMAND finds its fencing token in TENURE_FENCING_TOKEN and the lock's name in "
        "TENURE_NAME.\n"
        "Exit status: COMMAND's own (128+n if signal n ended it; 126, 127 if it cannot be run or "
        "found),\n64 usage, 69 no cluster answers, 75 not acquired in time, 76 lost while "
        "running.");
  }
  bool RunsCommand() const override { return true; }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> command) override {
    flags_.endpoints = endpoints;
    return CheckLock(std::move(flags_), permits_, try_once_, std::move(command));
  }

 private:
  LockFlags flags_;
  bool try_once_ = false;
  std::string permits_;
};

class Once final : public Subcommand {
 public:
  Once(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "once",
                   "Run COMMAND to its end once for a key: tenure once KEY [flags] -- COMMAND...") {
    CLI::App* const once = app();
    once->add_option("KEY", flags_.name, "What the operation is known by")->required();
    once->add_option("--scope", flags_.scope, "Keeps keys apart from those of others")
        ->type_name("TEXT");
    once->add_option("--fingerprint", flags_.fingerprint,
                     "Of the operation's parameters; the same key with another one is refused")
        ->type_name("TEXT");
    AddDuration(once, "--retention", &flags_.retention, "How long the outcome is kept");
    AddDuration(once, "--wait", &flags_.wait,
                "How long to wait while another one runs it; inf: for ever");
    AddLease(once, &flags_);
    AddEndpoints(once, endpoints);
    once->footer(
        "COMMAND's standard output and exit status are stored when it has ended, and given to\n"
        "every caller then and later; of its output the first 65,408 bytes. A COMMAND that a\n"
        "signal ended, or that could not be run, has not completed: the next caller runs it, with\n"
        "a higher number in TENURE_ATTEMPT, which is also its TENURE_FENCING_TOKEN.\n"
        "Exit status: COMMAND's own (128+n if signal n ended it; 126, 127 if it cannot be run or "
        "found),\n64 usage, 69 no cluster answers, 73 another fingerprint, 75 not done in time, 76 "
        "lost while running.");
  }
  bool RunsCommand() const override { return true; }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> command) override {
    flags_.endpoints = endpoints;
    return CheckOnce(std::move(flags_), std::move(command));
  }

 private:
  OnceFlags flags_;
};

class Elect final : public Subcommand {
 public:
  Elect(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "elect",
                   "Run COMMAND while elected, for as long as it leads: tenure "
                   "elect NAME [flags] -- COMMAND...") {
    CLI::App* const elect = app();
    elect->add_option("NAME", flags_.name, "The election's name")->required();
    elect
        ->add_option("--value", flags_.value,
                     "What the leader says of itself to whoever inspects or watches")
        ->type_name("TEXT");
    elect
        ->add_option("--priority", flags_.priority,
                     "Of the candidates the greatest is elected first, up to 255; no leader is "
                     "deposed for a greater one")
        ->type_name("N");
    AddDuration(elect, "--wait", &flags_.wait, "How long to be a candidate; inf: for ever");
    AddLease(elect, &flags_);
    AddEndpoints(elect, endpoints);
    elect->footer(
        "COMMAND finds its term, which is its fencing token, in TENURE_FENCING_TOKEN and the\n"
        "election's name in TENURE_NAME. When it ends, the next candidate leads.\n"
        "Exit status: COMMAND's own (128+n if signal n ended it; 126, 127 if it cannot be run or "
        "found),\n64 usage, 69 no cluster answers, 75 not elected in time, 76 the lead was lost "
        "while running.");
  }
  bool RunsCommand() const override { return true; }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> command) override {
    flags_.endpoints = endpoints;
    return CheckElect(std::move(flags_), std::move(command));
  }

 private:
  ElectFlags flags_;
};

}  // namespace

std::unique_ptr<Subcommand> MakeLock(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Lock>(program, endpoints);
}
std::unique_ptr<Subcommand> MakeOnce(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Once>(program, endpoints);
}
std::unique_ptr<Subcommand> MakeElect(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Elect>(program, endpoints);
}

}  // namespace tenure::cli
