// tenure::Open and tenure::StartMember: the front door, on the parts that were built.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tenure/storage.h"
#include "tenure/tenure.h"
#ifdef TENURE_WITH_GRPC
#include "tenure/grpc/connect.h"
#include "tenure/grpc/transport.h"
#endif
#ifdef TENURE_WITH_SQLITE
#include "tenure/sqlite/storage.h"
#endif

namespace tenure {

absl::StatusOr<Coordinator> Open(absl::string_view uri, CoordinatorOptions options) {
  if (uri == "memory:") return OpenLocal(std::move(options));
  absl::string_view rest = uri;
  if (absl::ConsumePrefix(&rest, "tenure://")) {
#ifdef TENURE_WITH_GRPC
    const std::vector<std::string> endpoints = absl::StrSplit(absl::StripSuffix(rest, "/"), ',');
    return grpc::Connect(endpoints, {.coordinator = std::move(options)});
#else
    return absl::UnimplementedError(
        "this build has no gRPC part: build Tenure with TENURE_BUILD_GRPC=ON to reach a cluster");
#endif
  }
  if (absl::StartsWith(rest, "etcd://")) {
    return absl::UnimplementedError(
        "this build has no etcd part; use tenure://host:port,... or memory:");
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", uri, "' is not a coordinator: use memory: or tenure://host:port,host:port,..."));
}

namespace {

// Where `directory` says, or, if it says nothing, in memory.
absl::StatusOr<std::unique_ptr<Storage>> StorageIn(const std::string& directory) {
  if (directory.empty()) return NewMemoryStorage();
#ifdef TENURE_WITH_SQLITE
  return sqlite::NewStorage({.directory = directory});
#else
  return absl::UnimplementedError(
      "this build has no SQLite part and keeps members in memory only: build Tenure with "
      "TENURE_BUILD_SQLITE=ON, or name no directory for data");
#endif
}

}  // namespace

absl::StatusOr<std::unique_ptr<Member>> StartMember(MemberOptions options) {
  absl::StatusOr<std::unique_ptr<Storage>> storage = StorageIn(options.data);
  if (!storage.ok()) return storage.status();
#ifdef TENURE_WITH_GRPC
  return Member::Start(std::move(options), grpc::NewTransport(), *std::move(storage));
#else
  return absl::UnimplementedError(
      "this build has no gRPC part: build Tenure with TENURE_BUILD_GRPC=ON, or pass a Transport to "
      "Member::Start");
#endif
}

}  // namespace tenure
