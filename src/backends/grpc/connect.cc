// The remote backend: the replicated one over gRPC streams.
#include "tenure/grpc/connect.h"

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backends/replicated.h"
#include "member/cluster_list.h"
#include "transport/grpc/client_link.h"

namespace tenure::grpc {
namespace {

absl::Status CheckEndpoint(const std::string& endpoint) {
  if (!member::IsAddress(endpoint)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", endpoint, "' is not host:port; give members as 10.0.0.1:7400"));
  }
  return absl::OkStatus();
}

std::string DefaultLabel() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return absl::StrCat(host, ":", getpid());
}

}  // namespace

absl::StatusOr<Coordinator> Connect(std::vector<std::string> endpoints, ConnectOptions options) {
  if (endpoints.empty()) {
    return absl::InvalidArgumentError("no endpoint given; name at least one member as host:port");
  }
  for (const std::string& endpoint : endpoints) {
    if (absl::Status status = CheckEndpoint(endpoint); !status.ok()) return status;
  }
  const std::string& label = options.coordinator.session.label;
  const std::shared_ptr<grpc_transport::GrpcLoop> loop =
      grpc_transport::NewGrpcClientLoop(options.spin);
  backends::LinkFactory links = grpc_transport::GrpcLinkFactory(
      loop.get(), {.label = label.empty() ? DefaultLabel() : label});
  // Seeds jitter alone: clients that lost one leader should not come back in step.
  const std::uint64_t seed = std::random_device()();
  return Coordinator(backends::NewReplicatedBackend(
                         loop, std::move(links), {.endpoints = std::move(endpoints), .seed = seed}),
                     std::move(options.coordinator));
}

}  // namespace tenure::grpc
