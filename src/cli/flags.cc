#include "cli/flags.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "cli/exit_status.h"

// TENURE_VERSION comes from the build.

namespace tenure::cli {
namespace {

constexpr char kSubcommands[] =
    "serve, lock, elect, once, watch, break, status, inspect and member";
constexpr char kWaysToWriteDurations[] = "write a duration like 500ms, 30s, 1m or 1h";

// An option that takes a duration. Its default is shown as people write it.
CLI::Option* AddDuration(CLI::App* app, const std::string& flag, absl::Duration* value,
                         const std::string& help) {
  return app
      ->add_option_function<std::string>(
          flag,
          [flag, value](const std::string& text) {
            absl::Duration parsed;
            if (!absl::ParseDuration(text, &parsed) || parsed < absl::ZeroDuration()) {
              throw CLI::ValidationError(
                  flag, absl::StrCat("'", text, "' is no duration: ", kWaysToWriteDurations));
            }
            *value = parsed;
          },
          help)
      ->type_name("DURATION")
      ->default_str(absl::FormatDuration(*value));
}

void AddEndpoints(CLI::App* app, std::string* endpoints) {
  app->add_option(
         "--endpoints", *endpoints,
         absl::StrCat("Members to ask: host:port,host:port,... (or TENURE_ENDPOINTS; else ",
                      kDefaultEndpoint, ")"))
      ->type_name("LIST");
}

std::string OneLine(absl::string_view text) {
  return absl::StrReplaceAll(absl::StripSuffix(text, "\n"), {{"\n", "; "}});
}

Ending Usage(absl::string_view subcommand, absl::string_view text) {
  return {kExitUsage,
          absl::StrCat("tenure", subcommand.empty() ? "" : " ", subcommand, ": ", OneLine(text))};
}

// The port of host:port, or nothing.
absl::string_view PortOf(absl::string_view address) {
  const size_t colon = address.rfind(':');
  return colon == absl::string_view::npos ? absl::string_view() : address.substr(colon + 1);
}

Invocation CheckServe(ServeFlags flags, bool has_data) {
  if (has_data) {
    return Usage("serve", "--data: this build keeps members in memory only; leave --data out");
  }
  if (flags.cluster.empty()) {
    if (flags.id.empty()) flags.id = "n1";
    flags.development = true;
    flags.assert_new = true;
    std::string address = kDefaultEndpoint;
    if (!flags.listen.empty()) {
      const absl::string_view port = PortOf(flags.listen);
      if (port.empty()) {
        return Usage("serve", absl::StrCat("--listen: '", flags.listen, "' is not host:port"));
      }
      const bool any =
          absl::StartsWith(flags.listen, "0.0.0.0:") || absl::StartsWith(flags.listen, "[::]:");
      address = any ? absl::StrCat("127.0.0.1:", port) : flags.listen;
    }
    flags.cluster = absl::StrCat(flags.id, "=", address);
  } else if (flags.id.empty()) {
    return Usage("serve",
                 absl::StrCat("--cluster needs --id: which of ", flags.cluster, " is this one?"));
  }
  if (flags.election_timeout < absl::Milliseconds(10)) {
    return Usage("serve", "--election-timeout: 10ms is the least that a network keeps up with");
  }
  if (flags.ttl_max < absl::Seconds(1)) {
    return Usage("serve", "--ttl-max: leases last one second at least");
  }
  return flags;
}

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

}  // namespace

Invocation ParseArguments(const std::vector<std::string>& arguments,
                          const std::string& environment_endpoints) {
  // COMMAND is nobody's to interpret: CLI11 would split its `[a,b]`.
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  std::vector<std::string> own;
  for (auto argument = arguments.begin(); argument != dashes; ++argument) {
    const bool empty = argument->size() > 3 && absl::StartsWith(*argument, "--") &&
                       argument->find('=') + 1 == argument->size();
    const bool needs_value = *argument == "--endpoints=" || (!own.empty() && own[0] == "serve");
    if (empty && needs_value) {
      return Usage(own.empty() ? "" : own[0],
                   absl::StrCat(*argument, " has no value: give it one, or leave it out"));
    }
    own.push_back(empty ? argument->substr(0, argument->size() - 1) : *argument);
    // CLI11 would take the next argument for the value.
    if (empty) own.emplace_back();
  }
  std::vector<std::string> command;
  if (dashes != arguments.end()) command.assign(dashes + 1, arguments.end());

  if (!own.empty() && own[0] == "help") {
    own.erase(own.begin());
    own.emplace_back("--help");
  }

  CLI::App app("Locks agreed by a cluster of its own. `tenure COMMAND --help` says more.",
               "tenure");
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", absl::StrCat("tenure ", TENURE_VERSION));
  std::string endpoints;

  ServeFlags serve_flags;
  std::string data;
  CLI::App* serve = app.add_subcommand(
      "serve", "Run a member. Without --cluster: one member in memory on 127.0.0.1:7400");
  serve->add_option("--id", serve_flags.id, "This member's name, one of those in --cluster")
      ->type_name("NAME");
  serve
      ->add_option("--cluster", serve_flags.cluster,
                   "All members, alike on each: n1=host:port,n2=host:port,n3=host:port")
      ->type_name("LIST");
  serve->add_flag(
      "--new", serve_flags.assert_new,
      "Assert that no holder of a lock of an earlier cluster still lives; without it, on "
      "every member, a new cluster grants nothing for the longest TTL");
  serve
      ->add_option("--listen", serve_flags.listen,
                   "What to bind, if not this member's address in --cluster")
      ->type_name("ADDR");
  CLI::Option* data_option =
      serve->add_option("--data", data, "Where to keep what must survive (not built yet)")
          ->type_name("DIR");
  AddDuration(serve, "--election-timeout", &serve_flags.election_timeout,
              "A leader is missed after this to twice this; alike on every member");
  AddDuration(serve, "--ttl-max", &serve_flags.ttl_max,
              "The longest lease granted; fixed when the cluster first starts");

  LockFlags lock_flags;
  bool try_once = false;
  std::string permits;
  CLI::App* lock = app.add_subcommand(
      "lock", "Run COMMAND while holding a lock: tenure lock NAME [flags] -- COMMAND...");
  lock->add_option("NAME", lock_flags.name, "The lock's name")->required();
  CLI::Option* wait_option =
      AddDuration(lock, "--wait", &lock_flags.wait, "How long to wait for the lock; inf: for ever");
  lock->add_flag("--try", try_once, "Do not wait")->excludes(wait_option);
  CLI::Option* shared_option =
      lock->add_flag("--shared", lock_flags.shared, "Hold it together with others that share it");
  lock->add_option("--permits", permits, "Hold K of the N permits of a semaphore")
      ->type_name("K/N")
      ->excludes(shared_option);
  AddLease(lock, &lock_flags);
  lock->add_option("--value", lock_flags.value, "Shown to whoever inspects the lock")
      ->type_name("TEXT");
  AddEndpoints(lock, &endpoints);
  lock->footer(
      "COMMAND finds its fencing token in TENURE_FENCING_TOKEN and the lock's name in "
      "TENURE_NAME.\n"
      "Exit status: COMMAND's own (128+n if signal n ended it; 126, 127 if it cannot be run or "
      "found),\n64 usage, 69 no cluster answers, 75 not acquired in time, 76 lost while running.");

  OnceFlags once_flags;
  CLI::App* once = app.add_subcommand(
      "once", "Run COMMAND to its end once for a key: tenure once KEY [flags] -- COMMAND...");
  once->add_option("KEY", once_flags.name, "What the operation is known by")->required();
  once->add_option("--scope", once_flags.scope, "Keeps keys apart from those of others")
      ->type_name("TEXT");
  once->add_option("--fingerprint", once_flags.fingerprint,
                   "Of the operation's parameters; the same key with another one is refused")
      ->type_name("TEXT");
  AddDuration(once, "--retention", &once_flags.retention, "How long the outcome is kept");
  AddDuration(once, "--wait", &once_flags.wait,
              "How long to wait while another one runs it; inf: for ever");
  AddLease(once, &once_flags);
  AddEndpoints(once, &endpoints);
  once->footer(
      "COMMAND's standard output and exit status are stored when it has ended, and given to every\n"
      "caller then and later; of its output the first 65,408 bytes. A COMMAND that a signal ended, "
      "or\n"
      "that could not be run, has not completed: the next caller runs it, with a higher number in\n"
      "TENURE_ATTEMPT, which is also its TENURE_FENCING_TOKEN.\n"
      "Exit status: COMMAND's own (128+n if signal n ended it; 126, 127 if it cannot be run or "
      "found),\n64 usage, 69 no cluster answers, 73 another fingerprint, 75 not done in time, 76 "
      "lost while running.");

  ElectFlags elect_flags;
  CLI::App* elect = app.add_subcommand("elect",
                                       "Run COMMAND while elected, for as long as it leads: tenure "
                                       "elect NAME [flags] -- COMMAND...");
  elect->add_option("NAME", elect_flags.name, "The election's name")->required();
  elect
      ->add_option("--value", elect_flags.value,
                   "What the leader says of itself to whoever inspects or watches")
      ->type_name("TEXT");
  elect
      ->add_option("--priority", elect_flags.priority,
                   "Of the candidates the greatest is elected first, up to 255; no leader is "
                   "deposed for a greater one")
      ->type_name("N");
  AddDuration(elect, "--wait", &elect_flags.wait, "How long to be a candidate; inf: for ever");
  AddLease(elect, &elect_flags);
  AddEndpoints(elect, &endpoints);
  elect->footer(
      "COMMAND finds its term, which is its fencing token, in TENURE_FENCING_TOKEN and the\n"
      "election's name in TENURE_NAME. When it ends, the next candidate leads.\n"
      "Exit status: COMMAND's own (128+n if signal n ended it; 126, 127 if it cannot be run or "
      "found),\n64 usage, 69 no cluster answers, 75 not elected in time, 76 the lead was lost "
      "while running.");

  WatchFlags watch_flags;
  CLI::App* watch =
      app.add_subcommand("watch", "What happens to a lock or an election, one JSON object a line");
  watch->require_subcommand(0, 1);
  watch->fallthrough();
  CLI::App* watch_lock = watch->add_subcommand("lock", "A lock")->fallthrough();
  CLI::App* watch_election = watch->add_subcommand("election", "An election")->fallthrough();
  for (CLI::App* what : {watch_lock, watch_election}) {
    what->add_option("NAME", watch_flags.name, "Its name")->required();
  }
  watch
      ->add_option("--after", watch_flags.after,
                   "Go on after the line with this revision; without it, how things stand comes "
                   "first")
      ->type_name("REVISION");
  AddDuration(watch, "--timeout", &watch_flags.timeout,
              "How long to wait for the first answer of all; a cluster that was there is waited "
              "for without limit");
  AddEndpoints(watch, &endpoints);
  watch->footer(
      "Each line has kind, name, event, revision, token, session, label, value,\n"
      "cluster_time_seconds and holder. event: state (how things stand), granted, value,\n"
      "released, handed_over, lost, broken; or gap: there were others before the next line that\n"
      "are no longer kept. Ends with status 0 by a signal, or when nobody reads any more.");

  BreakFlags break_flags;
  CLI::App* broken = app.add_subcommand(
      "break", "Take a lock, the lead of an election or an attempt from whoever has it");
  broken->require_subcommand(0, 1);
  broken->fallthrough();
  CLI::App* break_lock =
      broken->add_subcommand("lock", "A lock, or a semaphore's permits")->fallthrough();
  break_lock->add_option("NAME", break_flags.name, "The lock's name")->required();
  CLI::App* break_election =
      broken->add_subcommand("election", "The lead of an election")->fallthrough();
  break_election->add_option("NAME", break_flags.name, "The election's name")->required();
  CLI::App* break_key = broken->add_subcommand("key", "The attempt at an operation")->fallthrough();
  break_key->add_option("KEY", break_flags.name, "What the operation is known by")->required();
  break_key->add_option("--scope", break_flags.scope, "The scope of the key")->type_name("TEXT");
  broken
      ->add_option("--token", break_flags.token,
                   "Only from the holder with this token (see `tenure inspect`)")
      ->type_name("TOKEN");
  broken->add_option("--reason", break_flags.reason, "Goes on record, with who broke it")
      ->type_name("TEXT");
  AddDuration(broken, "--timeout", &break_flags.timeout, "How long to wait for an answer");
  AddEndpoints(broken, &endpoints);
  broken->footer(
      "Whoever had it is told; `tenure lock`, `elect` and `once` end their COMMAND. What was "
      "broken, by\n"
      "whom and why is shown by `tenure inspect`. Exit status: 75 if nobody has it.");

  StatusFlags status_flags;
  CLI::App* status =
      app.add_subcommand("status", "The cluster: members, leader, term, revision, sessions, locks");
  status->add_flag("--json", status_flags.json, "One JSON object");
  AddDuration(status, "--timeout", &status_flags.timeout, "How long to wait for an answer");
  AddEndpoints(status, &endpoints);
  status->footer(
      "Of several members the leader's word is taken; one that is asked alone tells what it sees.");

  InspectFlags inspect_flags;
  CLI::App* inspect = app.add_subcommand("inspect", "Look at locks, elections, sessions and keys");
  inspect->require_subcommand(0, 1);
  inspect->fallthrough();
  inspect->add_flag("--json", inspect_flags.json, "One JSON object");
  AddDuration(inspect, "--timeout", &inspect_flags.timeout, "How long to wait for an answer");
  AddEndpoints(inspect, &endpoints);
  CLI::App* inspect_locks =
      inspect->add_subcommand("locks", "All locks that are held or waited for")->fallthrough();
  CLI::App* inspect_lock =
      inspect->add_subcommand("lock", "One lock: who holds it, who waits")->fallthrough();
  inspect_lock->add_option("NAME", inspect_flags.name, "The lock's name")->required();
  CLI::App* inspect_sessions = inspect->add_subcommand("sessions", "All sessions")->fallthrough();
  CLI::App* inspect_keys =
      inspect->add_subcommand("keys", "All operations of a scope")->fallthrough();
  CLI::App* inspect_key =
      inspect->add_subcommand("key", "One operation, and its outcome")->fallthrough();
  CLI::App* inspect_elections =
      inspect->add_subcommand("elections", "All elections that are led or campaigned for")
          ->fallthrough();
  CLI::App* inspect_election =
      inspect->add_subcommand("election", "One election: who leads, who campaigns, what happened")
          ->fallthrough();
  inspect_election->add_option("NAME", inspect_flags.name, "The election's name")->required();
  inspect_key->add_option("KEY", inspect_flags.name, "What it is known by")->required();
  for (CLI::App* what : {inspect_keys, inspect_key}) {
    what->add_option("--scope", inspect_flags.scope, "The scope of the keys")->type_name("TEXT");
  }

  MemberFlags member_flags;
  CLI::App* member =
      app.add_subcommand("member", "Who takes part: list, add, remove, promote, transfer");
  member->require_subcommand(0, 1);
  member->fallthrough();
  member->add_flag("--json", member_flags.json, "One JSON object");
  AddDuration(member, "--timeout", &member_flags.timeout, "How long to wait until it is done");
  AddEndpoints(member, &endpoints);
  member->add_subcommand("list", "All members, as `tenure status` shows them")->fallthrough();
  CLI::App* member_add =
      member
          ->add_subcommand("add",
                           "A member that was started with a --cluster that has it; it "
                           "becomes a voter once it has caught up")
          ->fallthrough();
  std::string added;
  member_add->add_option("ID=HOST:PORT", added, "Its name and its address")->required();
  CLI::App* member_remove =
      member->add_subcommand("remove", "It takes no part any more, and stops; it need not live")
          ->fallthrough();
  member_remove->add_option("ID", member_flags.name, "Its name")->required();
  CLI::App* member_promote =
      member->add_subcommand("promote", "A learner becomes a voter, once it has caught up")
          ->fallthrough();
  member_promote->add_option("ID", member_flags.name, "Its name")->required();
  CLI::App* member_transfer =
      member->add_subcommand("transfer", "Leadership goes to ID, or to whoever lags least")
          ->fallthrough();
  member_transfer->add_option("ID", member_flags.name, "Its name");

  std::string used;
  // CLI11 would speak of the arguments after it.
  const auto is_first = [&own](const CLI::App* known) { return known->get_name() == own[0]; };
  const std::vector<CLI::App*> known = app.get_subcommands([](CLI::App*) { return true; });
  if (!own.empty() && !absl::StartsWith(own[0], "-") &&
      std::none_of(known.begin(), known.end(), is_first)) {
    return Usage("", absl::StrCat("there is no subcommand '", own[0], "'; there are ", kSubcommands,
                                  "; see `tenure --help`"));
  }
  try {
    // CLI11 takes them from the back.
    std::reverse(own.begin(), own.end());
    app.parse(std::move(own));
  } catch (const CLI::CallForHelp&) {
    return Ending{kExitOk, app.help()};
  } catch (const CLI::CallForVersion& version) {
    return Ending{kExitOk, version.what()};
  } catch (const CLI::ParseError& error) {
    for (CLI::App* subcommand : app.get_subcommands()) used = subcommand->get_name();
    std::string wrong = OneLine(error.what());
    if (absl::StrContains(wrong, "At Most 1 required")) {
      wrong = absl::StrCat(wrong.substr(0, wrong.find(':')), " is given more than once");
    } else if (absl::StartsWith(wrong, "Could not convert: ")) {
      wrong = absl::StrCat(wrong.substr(wrong.find(": ") + 2), " is no value that it can have");
    }
    if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
      // CLI11 names them from the back, too.
      wrong = absl::StrCat("not expected: ", absl::StrJoin(app.remaining(true), " "));
      const bool runs = used == "lock" || used == "elect" || used == "once";
      if (runs && dashes == arguments.end()) wrong += "; COMMAND stands after `--`";
    }
    return Usage(used,
                 absl::StrCat(wrong, "; see `tenure ", used, used.empty() ? "" : " ", "--help`"));
  }
  if (app.get_subcommands().empty()) {
    return Usage("", absl::StrCat("which subcommand? ", kSubcommands, "; see `tenure --help`"));
  }
  CLI::App* chosen = app.get_subcommands().front();
  used = chosen->get_name();
  if (chosen != lock && chosen != elect && chosen != once && dashes != arguments.end()) {
    return Usage(used, absl::StrCat("takes no COMMAND: leave out what follows `--`"));
  }
  if (endpoints.empty()) endpoints = environment_endpoints;
  if (endpoints.empty()) endpoints = kDefaultEndpoint;
  endpoints = std::string(absl::StripPrefix(endpoints, "tenure://"));

  if (chosen == serve) return CheckServe(std::move(serve_flags), data_option->count() > 0);
  if (chosen == lock) {
    lock_flags.endpoints = endpoints;
    return CheckLock(std::move(lock_flags), permits, try_once, std::move(command));
  }
  if (chosen == once) {
    once_flags.endpoints = endpoints;
    return CheckOnce(std::move(once_flags), std::move(command));
  }
  if (chosen == elect) {
    elect_flags.endpoints = endpoints;
    return CheckElect(std::move(elect_flags), std::move(command));
  }
  if (chosen == watch) {
    if (watch->get_subcommands().empty()) return Usage("watch", "what? lock NAME or election NAME");
    watch_flags.endpoints = endpoints;
    watch_flags.what = watch->get_subcommands().front() == watch_election
                           ? WatchFlags::What::kElection
                           : WatchFlags::What::kLock;
    return watch_flags;
  }
  if (chosen == broken) {
    if (broken->get_subcommands().empty()) {
      return Usage("break", "what? lock NAME, election NAME or key KEY");
    }
    CLI::App* what = broken->get_subcommands().front();
    break_flags.what = what == break_election ? BreakFlags::What::kElection
                       : what == break_key    ? BreakFlags::What::kKey
                                              : BreakFlags::What::kLock;
    break_flags.endpoints = endpoints;
    return break_flags;
  }
  if (chosen == status) {
    status_flags.endpoints = endpoints;
    return status_flags;
  }
  if (chosen == member) {
    if (member->get_subcommands().empty()) {
      return Usage("member", "what? list, add, remove, promote or transfer");
    }
    member_flags.endpoints = endpoints;
    CLI::App* verb = member->get_subcommands().front();
    member_flags.what = verb == member_add        ? MemberFlags::What::kAdd
                        : verb == member_remove   ? MemberFlags::What::kRemove
                        : verb == member_promote  ? MemberFlags::What::kPromote
                        : verb == member_transfer ? MemberFlags::What::kTransfer
                                                  : MemberFlags::What::kList;
    if (verb == member_add) {
      const std::size_t equals = added.find('=');
      if (equals == std::string::npos || equals == 0 || equals + 1 == added.size() ||
          added.find(':', equals) == std::string::npos) {
        return Usage("member", absl::StrCat("'", added, "' is not ID=HOST:PORT"));
      }
      member_flags.name = added.substr(0, equals);
      member_flags.address = added.substr(equals + 1);
    }
    return member_flags;
  }
  if (inspect->get_subcommands().empty()) {
    return Usage("inspect",
                 "what? locks, lock NAME, elections, election NAME, sessions, keys or key KEY");
  }
  inspect_flags.endpoints = endpoints;
  CLI::App* what = inspect->get_subcommands().front();
  inspect_flags.what = what == inspect_locks       ? InspectFlags::What::kLocks
                       : what == inspect_lock      ? InspectFlags::What::kLock
                       : what == inspect_sessions  ? InspectFlags::What::kSessions
                       : what == inspect_elections ? InspectFlags::What::kElections
                       : what == inspect_election  ? InspectFlags::What::kElection
                       : what == inspect_keys      ? InspectFlags::What::kKeys
                                                   : InspectFlags::What::kKey;
  return inspect_flags;
}

}  // namespace tenure::cli
