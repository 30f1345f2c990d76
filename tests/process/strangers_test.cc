// What strangers may do to the port of a live member: X2 and its kin, on a cluster of processes.
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/process/cluster.h"
#include "tests/process/watch.h"
#include "tests/transport/stranger.h"
#include "transport/grpc/client_stream.h"

namespace tenure::process {
namespace {

using grpc_transport::ClientHelloMessage;
using grpc_transport::Data;
using grpc_transport::Http2Preface;
using grpc_transport::kClientMethod;
using grpc_transport::kPeerMethod;
using grpc_transport::Opening;
using grpc_transport::Prefix;
using grpc_transport::Stranger;

// A line of /proc/PID/status, in KiB.
std::int64_t MemoryKib(pid_t pid, const std::string& field) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string name; status >> name;) {
    std::int64_t kib = 0;
    if (name == field + ":" && status >> kib) return kib;
  }
  ADD_FAILURE() << "no " << field;
  return 0;
}

class StrangersTest : public ProcessTest {
 protected:
  void ExpectServes() {
    const Result held = RunTenure({"lock", "a", "--", "true"}, cluster_.endpoints());
    EXPECT_EQ(held.status, 0) << held.err;
  }

  Cluster cluster_;
};

TEST_F(StrangersTest, X2_GarbageAndEndlessFramesCostNothing) {
  const int leader = cluster_.AwaitLeader();
  ExpectServes();
  const pid_t pid = cluster_.member(leader).pid();
  const std::int64_t resident = MemoryKib(pid, "VmHWM");
  const std::int64_t mapped = MemoryKib(pid, "VmPeak");

  std::vector<std::unique_ptr<Stranger>> strangers;
  for (const std::string& bytes :
       {std::string(1000, 'x'), std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, '\xff'),
        Http2Preface() + std::string(1000, '\xff'),
        Opening(kClientMethod) + Data(Prefix(5) + "\xff\xff\xff\xff\xff"),
        Opening(kPeerMethod) + Data(Prefix(5) + "\xff\xff\xff\xff\xff"),
        // 1 GiB is to come, they say: before they introduced themselves, and after.
        Opening(kClientMethod) + Data(Prefix(1 << 30) + "x"),
        Opening(kPeerMethod) + Data(Prefix(1 << 30) + "x"),
        Opening(kClientMethod) + Data(ClientHelloMessage() + Prefix(1 << 30) + "x")}) {
    strangers.push_back(std::make_unique<Stranger>(cluster_.address(leader)));
    strangers.back()->Write(bytes);
  }
  // And this one goes on, byte by byte, and never gets to the end of its frame.
  Stranger slow(cluster_.address(leader));
  slow.Write(Opening(kClientMethod) + Data(ClientHelloMessage() + Prefix(1'000'000)));
  ExpectServes();
  EXPECT_TRUE(Eventually([&] { return !slow.Write(Data("x")) || slow.ClosedWithin(20); }));
  for (const auto& stranger : strangers) EXPECT_TRUE(stranger->Closed());

  ExpectServes();
  EXPECT_TRUE(cluster_.member(leader).running());
  EXPECT_LT(MemoryKib(pid, "VmHWM") - resident, 16 << 10);
  EXPECT_LT(MemoryKib(pid, "VmPeak") - mapped, 512 << 10);
}

}  // namespace
}  // namespace tenure::process
