// The flags of those that ask the cluster, and change it: watch, break, status, inspect and member.
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/subcommand.h"

namespace tenure::cli {
namespace {

class Watch final : public Subcommand {
 public:
  Watch(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "watch",
                   "What happens to a lock or an election, one JSON object a line") {
    CLI::App* const watch = app();
    watch->require_subcommand(0, 1);
    watch->fallthrough();
    CLI::App* watch_lock = watch->add_subcommand("lock", "A lock")->fallthrough();
    election_ = watch->add_subcommand("election", "An election")->fallthrough();
    for (CLI::App* what : {watch_lock, election_}) {
      what->add_option("NAME", flags_.name, "Its name")->required();
    }
    watch
        ->add_option("--after", flags_.after,
                     "Go on after the line with this revision; without it, how things stand comes "
                     "first")
        ->type_name("REVISION");
    AddDuration(watch, "--timeout", &flags_.timeout,
                "How long to wait for the first answer of all; a cluster that was there is waited "
                "for without limit");
    AddEndpoints(watch, endpoints);
    watch->footer(
        "Each line has kind, name, event, revision, token, session, label, value,\n"
        "cluster_time_seconds and holder. event: state (how things stand), granted, value,\n"
        "released, handed_over, lost, broken; or gap: there were others before the next line that\n"
        "are no longer kept. Ends with status 0 by a signal, or when nobody reads any more.");
  }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> /*command*/) override {
    if (app()->get_subcommands().empty()) {
      return Usage("watch", "what? lock NAME or election NAME");
    }
    flags_.endpoints = endpoints;
    flags_.what = Chosen() == election_ ? WatchFlags::What::kElection : WatchFlags::What::kLock;
    return flags_;
  }

 private:
  WatchFlags flags_;
  CLI::App* election_ = nullptr;
};

class Break final : public Subcommand {
 public:
  Break(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "break",
                   "Take a lock, the lead of an election or an attempt from whoever has it") {
    CLI::App* const broken = app();
    broken->require_subcommand(0, 1);
    broken->fallthrough();
    CLI::App* break_lock =
        broken->add_subcommand("lock", "A lock, or a semaphore's permits")->fallthrough();
    break_lock->add_option("NAME", flags_.name, "The lock's name")->required();
    CLI::Option* const delay = break_lock->add_flag(
        "--delay", flags_.delay,
        "Nobody has it, but a lock_delay holds it back after a loss: end that");
    election_ = broken->add_subcommand("election", "The lead of an election")->fallthrough();
    election_->add_option("NAME", flags_.name, "The election's name")->required();
    key_ = broken->add_subcommand("key", "The attempt at an operation")->fallthrough();
    key_->add_option("KEY", flags_.name, "What the operation is known by")->required();
    key_->add_option("--scope", flags_.scope, "The scope of the key")->type_name("TEXT");
    broken
        ->add_option("--token", flags_.token,
                     "Only from the holder with this token (see `tenure inspect`)")
        ->type_name("TOKEN")
        ->check([](const std::string& text) {
          const bool number = text.find_first_not_of("0123456789") == std::string::npos;
          const bool zero = text.find_first_not_of('0') == std::string::npos;
          return std::string(number && !zero ? "" : "a token is a number above 0");
        })
        ->excludes(delay);
    broken->add_option("--reason", flags_.reason, "Goes on record, with who broke it")
        ->type_name("TEXT");
    AddDuration(broken, "--timeout", &flags_.timeout, "How long to wait for an answer");
    AddEndpoints(broken, endpoints);
    broken->footer(
        "Whoever had it is told; `tenure lock`, `elect` and `once` end their COMMAND. What was\n"
        "broken, by whom and why is shown by `tenure inspect`. It counts as a loss: a lock_delay\n"
        "begins. Exit status: 75 if nobody has it, or nothing holds it back.");
  }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> /*command*/) override {
    if (app()->get_subcommands().empty()) {
      return Usage("break", "what? lock NAME, election NAME or key KEY");
    }
    flags_.endpoints = endpoints;
    flags_.what = Chosen() == election_ ? BreakFlags::What::kElection
                  : Chosen() == key_    ? BreakFlags::What::kKey
                                        : BreakFlags::What::kLock;
    return flags_;
  }

 private:
  BreakFlags flags_;
  CLI::App* election_ = nullptr;
  CLI::App* key_ = nullptr;
};

class Status final : public Subcommand {
 public:
  Status(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "status",
                   "The cluster: members, leader, term, revision, sessions, locks") {
    CLI::App* const status = app();
    status->add_flag("--json", flags_.json, "One JSON object");
    AddDuration(status, "--timeout", &flags_.timeout, "How long to wait for an answer");
    AddEndpoints(status, endpoints);
    status->footer(
        "Of several members the leader's word is taken; one that is asked alone tells what it "
        "sees.");
  }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> /*command*/) override {
    flags_.endpoints = endpoints;
    return flags_;
  }

 private:
  StatusFlags flags_;
};

class Inspect final : public Subcommand {
 public:
  Inspect(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "inspect", "Look at locks, elections, sessions and keys") {
    CLI::App* const inspect = app();
    inspect->require_subcommand(0, 1);
    inspect->fallthrough();
    inspect->add_flag("--json", flags_.json, "One JSON object");
    AddDuration(inspect, "--timeout", &flags_.timeout, "How long to wait for an answer");
    AddEndpoints(inspect, endpoints);
    locks_ =
        inspect->add_subcommand("locks", "All locks that are held or waited for")->fallthrough();
    lock_ = inspect->add_subcommand("lock", "One lock: who holds it, who waits")->fallthrough();
    lock_->add_option("NAME", flags_.name, "The lock's name")->required();
    sessions_ = inspect->add_subcommand("sessions", "All sessions")->fallthrough();
    keys_ = inspect->add_subcommand("keys", "All operations of a scope")->fallthrough();
    key_ = inspect->add_subcommand("key", "One operation, and its outcome")->fallthrough();
    elections_ =
        inspect->add_subcommand("elections", "All elections that are led or campaigned for")
            ->fallthrough();
    election_ =
        inspect->add_subcommand("election", "One election: who leads, who campaigns, what happened")
            ->fallthrough();
    election_->add_option("NAME", flags_.name, "The election's name")->required();
    key_->add_option("KEY", flags_.name, "What it is known by")->required();
    for (CLI::App* what : {keys_, key_}) {
      what->add_option("--scope", flags_.scope, "The scope of the keys")->type_name("TEXT");
    }
  }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> /*command*/) override {
    if (app()->get_subcommands().empty()) {
      return Usage("inspect",
                   "what? locks, lock NAME, elections, election NAME, sessions, keys or key KEY");
    }
    flags_.endpoints = endpoints;
    flags_.what = Chosen() == locks_       ? InspectFlags::What::kLocks
                  : Chosen() == lock_      ? InspectFlags::What::kLock
                  : Chosen() == sessions_  ? InspectFlags::What::kSessions
                  : Chosen() == elections_ ? InspectFlags::What::kElections
                  : Chosen() == election_  ? InspectFlags::What::kElection
                  : Chosen() == keys_      ? InspectFlags::What::kKeys
                                           : InspectFlags::What::kKey;
    return flags_;
  }

 private:
  InspectFlags flags_;
  CLI::App* locks_ = nullptr;
  CLI::App* lock_ = nullptr;
  CLI::App* sessions_ = nullptr;
  CLI::App* keys_ = nullptr;
  CLI::App* key_ = nullptr;
  CLI::App* elections_ = nullptr;
  CLI::App* election_ = nullptr;
};

class Members final : public Subcommand {
 public:
  Members(CLI::App& program, std::string* endpoints)
      : Subcommand(program, "member", "Who takes part: list, add, remove, promote, transfer") {
    CLI::App* const member = app();
    member->require_subcommand(0, 1);
    member->fallthrough();
    member->add_flag("--json", flags_.json, "One JSON object");
    AddDuration(member, "--timeout", &flags_.timeout, "How long to wait until it is done");
    AddEndpoints(member, endpoints);
    member->add_subcommand("list", "All members, as `tenure status` shows them")->fallthrough();
    add_ = member
               ->add_subcommand("add",
                                "A member that was started with a --cluster that has it; it "
                                "becomes a voter once it has caught up")
               ->fallthrough();
    add_->add_option("ID=HOST:PORT", added_, "Its name and its address")->required();
    remove_ =
        member->add_subcommand("remove", "It takes no part any more, and stops; it need not live")
            ->fallthrough();
    remove_->add_option("ID", flags_.name, "Its name")->required();
    promote_ = member->add_subcommand("promote", "A learner becomes a voter, once it has caught up")
                   ->fallthrough();
    promote_->add_option("ID", flags_.name, "Its name")->required();
    transfer_ =
        member->add_subcommand("transfer", "Leadership goes to ID, or to whoever lags least")
            ->fallthrough();
    transfer_->add_option("ID", flags_.name, "Its name");
  }
  Invocation Finish(const std::string& endpoints, std::vector<std::string> /*command*/) override {
    if (app()->get_subcommands().empty()) {
      return Usage("member", "what? list, add, remove, promote or transfer");
    }
    flags_.endpoints = endpoints;
    flags_.what = Chosen() == add_        ? MemberFlags::What::kAdd
                  : Chosen() == remove_   ? MemberFlags::What::kRemove
                  : Chosen() == promote_  ? MemberFlags::What::kPromote
                  : Chosen() == transfer_ ? MemberFlags::What::kTransfer
                                          : MemberFlags::What::kList;
    if (Chosen() == add_) return WithAdded();
    return flags_;
  }

 private:
  Invocation WithAdded() {
    const std::size_t equals = added_.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == added_.size() ||
        added_.find(':', equals) == std::string::npos) {
      return Usage("member", absl::StrCat("'", added_, "' is not ID=HOST:PORT"));
    }
    flags_.name = added_.substr(0, equals);
    flags_.address = added_.substr(equals + 1);
    return flags_;
  }

  MemberFlags flags_;
  std::string added_;
  CLI::App* add_ = nullptr;
  CLI::App* remove_ = nullptr;
  CLI::App* promote_ = nullptr;
  CLI::App* transfer_ = nullptr;
};

}  // namespace

std::unique_ptr<Subcommand> MakeWatch(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Watch>(program, endpoints);
}
std::unique_ptr<Subcommand> MakeBreak(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Break>(program, endpoints);
}
std::unique_ptr<Subcommand> MakeStatus(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Status>(program, endpoints);
}
std::unique_ptr<Subcommand> MakeInspect(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Inspect>(program, endpoints);
}
std::unique_ptr<Subcommand> MakeMembers(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Members>(program, endpoints);
}

}  // namespace tenure::cli
