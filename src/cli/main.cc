// The `tenure` program: which subcommand, and its exit status.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

#include "cli/break.h"
#include "cli/connection.h"
#include "cli/elect.h"
#include "cli/exit_status.h"
#include "cli/flags.h"
#include "cli/inspect.h"
#include "cli/lock.h"
#include "cli/member.h"
#include "cli/once.h"
#include "cli/serve.h"
#include "cli/standard_streams.h"
#include "cli/status.h"
#include "cli/watch.h"

namespace tenure::cli {
namespace {

struct Dispatch {
  int operator()(const Ending& ending) const {
    std::FILE* out = ending.status == kExitOk ? stdout : stderr;
    std::fputs(ending.text.c_str(), out);
    if (ending.text.empty() || ending.text.back() != '\n') std::fputc('\n', out);
    return ending.status;
  }
  int operator()(const ServeFlags& flags) const { return RunServe(flags); }
  int operator()(const LockFlags& flags) const { return RunLock(flags); }
  int operator()(const ElectFlags& flags) const { return RunElect(flags); }
  int operator()(const WatchFlags& flags) const { return RunWatch(flags); }
  int operator()(const OnceFlags& flags) const { return RunOnce(flags); }
  int operator()(const BreakFlags& flags) const { return RunBreak(flags); }
  int operator()(const StatusFlags& flags) const { return RunStatus(flags); }
  int operator()(const InspectFlags& flags) const { return RunInspect(flags); }
  int operator()(const MemberFlags& flags) const { return RunMember(flags); }
};

}  // namespace
}  // namespace tenure::cli

int main(int argc, char** argv) {
  tenure::cli::ReserveStandardStreams();
  const char* endpoints = std::getenv("TENURE_ENDPOINTS");
  tenure::cli::QuietLibraries();
  return std::visit(
      tenure::cli::Dispatch(),
      tenure::cli::ParseArguments({argv + 1, argv + argc}, endpoints == nullptr ? "" : endpoints));
}
