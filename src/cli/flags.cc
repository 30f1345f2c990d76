#include "cli/flags.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "cli/exit_status.h"
#include "cli/subcommand.h"

// TENURE_VERSION comes from the build.

namespace tenure::cli {
namespace {

constexpr char kSubcommands[] =
    "serve, lock, elect, once, watch, break, status, inspect and member";

// What CLI11 found wrong, in words of ours.
std::string WhatIsWrong(const CLI::ParseError& error, const CLI::App& app, bool misses_dashes) {
  std::string wrong = OneLine(error.what());
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    // CLI11 names them from the back, too.
    wrong = absl::StrCat("not expected: ", absl::StrJoin(app.remaining(true), " "));
    if (misses_dashes) wrong += "; COMMAND stands after `--`";
  } else if (absl::StrContains(wrong, "At Most 1 required")) {
    wrong = absl::StrCat(wrong.substr(0, wrong.find(':')), " is given more than once");
  } else if (absl::StartsWith(wrong, "Could not convert: ")) {
    wrong = absl::StrCat(wrong.substr(wrong.find(": ") + 2), " is no value that it can have");
  }
  return wrong;
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

  std::vector<std::unique_ptr<Subcommand>> subcommands;
  for (const auto make : {MakeServe, MakeLock, MakeElect, MakeOnce, MakeWatch, MakeBreak,
                          MakeStatus, MakeInspect, MakeMembers}) {
    subcommands.push_back(make(app, &endpoints));
  }

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
    std::string used;
    bool misses_dashes = false;
    for (const auto& subcommand : subcommands) {
      if (!subcommand->app()->parsed()) continue;
      used = absl::StrCat(subcommand->app()->get_name(), " ");
      misses_dashes = subcommand->RunsCommand() && dashes == arguments.end();
    }
    return Usage(absl::StripSuffix(used, " "), absl::StrCat(WhatIsWrong(error, app, misses_dashes),
                                                            "; see `tenure ", used, "--help`"));
  }
  if (app.get_subcommands().empty()) {
    return Usage("", absl::StrCat("which subcommand? ", kSubcommands, "; see `tenure --help`"));
  }
  const CLI::App* const given = app.get_subcommands().front();
  const auto chosen =
      std::find_if(subcommands.begin(), subcommands.end(),
                   [given](const auto& subcommand) { return subcommand->app() == given; });
  if (!(*chosen)->RunsCommand() && dashes != arguments.end()) {
    return Usage(given->get_name(), "takes no COMMAND: leave out what follows `--`");
  }
  if (endpoints.empty()) endpoints = environment_endpoints;
  if (endpoints.empty()) endpoints = kDefaultEndpoint;
  endpoints = std::string(absl::StripPrefix(endpoints, "tenure://"));

  return (*chosen)->Finish(endpoints, std::move(command));
}

}  // namespace tenure::cli
