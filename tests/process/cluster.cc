#include "tests/process/cluster.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/watchdog.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

// A socket bound to that port of loopback; none if it is taken.
cli::Descriptor Bind(int port) {
  cli::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const auto* bytes = reinterpret_cast<const sockaddr*>(&address);
  if (bind(socket.get(), bytes, sizeof(address)) != 0) socket.Close();
  return socket;
}

}  // namespace

Process Tenure(std::vector<std::string> arguments, const std::string& endpoints,
               ProcessOptions options) {
  arguments.insert(arguments.begin(), TENURE_BIN_DIR "/tenure");
  if (!endpoints.empty())
    options.environment.insert(options.environment.begin(), "TENURE_ENDPOINTS=" + endpoints);
  return Process(arguments, options);
}

Result RunTenure(std::vector<std::string> arguments, const std::string& endpoints) {
  return Tenure(std::move(arguments), endpoints).Wait();
}

std::vector<int> FreePorts(int count) {
  static std::mt19937 random{std::random_device()()};
  std::vector<int> ports;
  while (static_cast<int>(ports.size()) < count) {
    const int port = std::uniform_int_distribution<int>(10'000, 32'000)(random);
    const bool chosen = std::find(ports.begin(), ports.end(), port) != ports.end();
    if (!chosen && Bind(port).open()) ports.push_back(port);
  }
  return ports;
}

Listener::Listener() {
  while (!socket_.open()) {
    const int port = FreePorts(1)[0];
    socket_ = Bind(port);
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  EXPECT_EQ(listen(socket_.get(), 10), 0);
}

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (!Start(FreePorts(options_.members))) continue;
    AwaitLeader();
    return;
  }
  ADD_FAILURE() << "no cluster could be started";
}

bool Cluster::Start(const std::vector<int>& ports) {
  addresses_.clear();
  members_.clear();
  std::vector<std::string> list;
  for (const int port : ports) {
    addresses_.push_back(absl::StrCat("127.0.0.1:", port));
    list.push_back(absl::StrCat(Name(static_cast<int>(list.size())), "=", addresses_.back()));
  }
  list_ = absl::StrJoin(list, ",");
  endpoints_ = absl::StrJoin(addresses_, ",");
  for (int i = 0; i < static_cast<int>(ports.size()); ++i) members_.push_back(Serve(i));
  for (Process& member : members_) {
    if (member.AwaitOut("serves on")) continue;
    const std::string error = member.Wait().err;
    EXPECT_TRUE(absl::StrContains(error, "the port is taken")) << error;
    return false;
  }
  return true;
}

Process Cluster::Serve(int member) const {
  std::vector<std::string> arguments = {"serve", "--id=" + Name(member), "--cluster=" + list_};
  if (options_.assert_new) arguments.emplace_back("--new");
  if (!options_.data.empty()) arguments.push_back("--data=" + data(member));
  arguments.insert(arguments.end(), options_.flags.begin(), options_.flags.end());
  return Tenure(std::move(arguments));
}

void Cluster::Restart(int member) {
  members_[member].Kill();
  // Nobody else gets the port meanwhile, but for an outgoing connection whose time is short.
  EXPECT_TRUE(Eventually([&] {
    members_[member] = Serve(member);
    return members_[member].AwaitOut("serves on");
  })) << members_[member].err();
}

std::string Cluster::Name(int member) { return absl::StrCat("n", member + 1); }

int Cluster::Number(const std::string& name) const {
  for (int i = 0; i < size(); ++i) {
    if (Name(i) == name) return i;
  }
  return -1;
}

std::vector<int> Cluster::AllBut(int member) const {
  std::vector<int> others;
  for (int i = 0; i < size(); ++i) {
    if (i != member) others.push_back(i);
  }
  return others;
}

nlohmann::json Cluster::StatusFrom(const std::string& endpoints) {
  const Result result = RunTenure({"status", "--json"}, endpoints);
  EXPECT_EQ(result.status, 0) << result.err;
  return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
}

int Cluster::AwaitLeader(const std::vector<int>& asked, int not_member) const {
  int leader = -1;
  EXPECT_TRUE(Eventually([&] {
    leader = -1;
    for (const int member : asked) {
      const int named = Number(Status(member).value("leader", ""));
      if (named < 0 || named == not_member || (leader >= 0 && named != leader)) return false;
      leader = named;
    }
    return true;
  }));
  return leader;
}

nlohmann::json Cluster::Lock(const std::string& name) const {
  const Result result = RunTenure({"inspect", "lock", name, "--json"}, endpoints_);
  EXPECT_EQ(result.status, 0) << result.err;
  return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
}

ProcessTest::ProcessTest() {
  std::string pattern = (std::filesystem::temp_directory_path() / "tenure-XXXXXX").string();
  directory_ = mkdtemp(pattern.data());
  // What a killed program leaves behind falls to this process and is found by it.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

ProcessTest::~ProcessTest() {
  EXPECT_TRUE(cli::KillDescendants(0, absl::Seconds(10)));
  std::filesystem::remove_all(directory_);
}

std::string ProcessTest::Text(const std::string& name) const {
  std::ostringstream text;
  text << std::ifstream(Path(name)).rdbuf();
  return text.str();
}

bool ProcessTest::NothingLeft() {
  return Eventually([] {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::ifstream children(absl::StrCat("/proc/self/task/", getpid(), "/children"));
    pid_t child = 0;
    return !(children >> child);
  });
}

int ProcessTest::AwaitNumber(const std::string& name) const {
  EXPECT_TRUE(Eventually([&] { return absl::EndsWith(Text(name), "\n"); })) << name;
  return std::atoi(Text(name).c_str());
}

}  // namespace tenure::process
