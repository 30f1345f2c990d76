// The flags of `tenure serve`.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cli/subcommand.h"

namespace tenure::cli {
namespace {

// The port of host:port, or nothing.
absl::string_view PortOf(absl::string_view address) {
  const size_t colon = address.rfind(':');
  return colon == absl::string_view::npos ? absl::string_view() : address.substr(colon + 1);
}

Invocation CheckServe(ServeFlags flags) {
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
  if (flags.strict_restart && flags.data.empty()) {
    return Usage("serve",
                 "--strict-restart is for members with --data: without it each start is a new "
                 "incarnation, which is not trusted anyway");
  }
  if (flags.election_timeout < absl::Milliseconds(10)) {
    return Usage("serve", "--election-timeout: 10ms is the least that a network keeps up with");
  }
  if (flags.ttl_max < absl::Seconds(1)) {
    return Usage("serve", "--ttl-max: leases last one second at least");
  }
  return flags;
}

class Serve final : public Subcommand {
 public:
  Serve(CLI::App& program, std::string* /*endpoints*/)
      : Subcommand(program, "serve",
                   "Run a member. Without --cluster: one for development, on 127.0.0.1:7400") {
    CLI::App* const serve = app();
    serve->add_option("--id", flags_.id, "This member's name, one of those in --cluster")
        ->type_name("NAME");
    serve
        ->add_option("--cluster", flags_.cluster,
                     "All members, alike on each: n1=host:port,n2=host:port,n3=host:port")
        ->type_name("LIST");
    serve->add_flag(
        "--new", flags_.assert_new,
        "Assert that no holder of a lock of an earlier cluster still lives; without it, on "
        "every member, a new cluster grants nothing for the longest TTL. A member that has data "
        "already heeds it not");
    serve
        ->add_option("--listen", flags_.listen,
                     "What to bind, if not this member's address in --cluster")
        ->type_name("ADDR");
    serve
        ->add_option("--data", flags_.data,
                     "Keep what must survive in this directory, this member's own; without it, in "
                     "memory")
        ->type_name("DIR");
    serve->add_flag("--strict-restart", flags_.strict_restart,
                    "With --data: after a start do not vote until all other members have said what "
                    "they had heard of this one, so that a disk that went back is found out first");
    AddDuration(serve, "--election-timeout", &flags_.election_timeout,
                "A leader is missed after this to twice this; alike on every member");
    AddDuration(serve, "--ttl-max", &flags_.ttl_max,
                "The longest lease granted; fixed when the cluster first starts");
  }
  Invocation Finish(const std::string& /*endpoints*/,
                    std::vector<std::string> /*command*/) override {
    return CheckServe(std::move(flags_));
  }

 private:
  ServeFlags flags_;
};

}  // namespace

std::unique_ptr<Subcommand> MakeServe(CLI::App& program, std::string* endpoints) {
  return std::make_unique<Serve>(program, endpoints);
}

}  // namespace tenure::cli
