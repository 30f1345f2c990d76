#include "cli/subcommand.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/exit_status.h"

namespace tenure::cli {
namespace {

constexpr char kWaysToWriteDurations[] = "write a duration like 500ms, 30s, 1m or 1h";

}  // namespace

Subcommand::Subcommand(CLI::App& program, const std::string& name, const std::string& description)
    : app_(program.add_subcommand(name, description)) {}

CLI::App* Subcommand::Chosen() const { return app_->get_subcommands().front(); }

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

}  // namespace tenure::cli
