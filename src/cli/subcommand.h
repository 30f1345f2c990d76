// What each subcommand's flags are made of; the parts of flags.h.
#ifndef CLI_SUBCOMMAND_H_
#define CLI_SUBCOMMAND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/flags.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tenure::cli {

// Describes its flags to CLI11 when it is made, and says what they mean once they are parsed. It
// outlives the parsing.
class Subcommand {
 public:
  virtual ~Subcommand() = default;

  CLI::App* app() const { return app_; }
  // Whether a COMMAND follows its flags.
  virtual bool RunsCommand() const { return false; }
  virtual Invocation Finish(const std::string& endpoints, std::vector<std::string> command) = 0;

 protected:
  Subcommand(CLI::App& program, const std::string& name, const std::string& description);
  // The subcommand's own, which was given; there must be one.
  CLI::App* Chosen() const;

 private:
  CLI::App* const app_;
};

// `endpoints` takes the flag of that name, for those that have it.
std::unique_ptr<Subcommand> MakeServe(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeLock(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeOnce(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeElect(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeWatch(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeBreak(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeStatus(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeInspect(CLI::App& program, std::string* endpoints);
std::unique_ptr<Subcommand> MakeMembers(CLI::App& program, std::string* endpoints);

// An option that takes a duration. Its default is shown as people write it.
CLI::Option* AddDuration(CLI::App* app, const std::string& flag, absl::Duration* value,
                         const std::string& help);
void AddEndpoints(CLI::App* app, std::string* endpoints);

std::string OneLine(absl::string_view text);
// The end of a program whose flags cannot work.
Ending Usage(absl::string_view subcommand, absl::string_view text);

}  // namespace tenure::cli

#endif  // CLI_SUBCOMMAND_H_
