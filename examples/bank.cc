// A gRPC service of three replicas that is its own cluster: each runs a member, and a transfer that
// a client repeats, at whichever replica, is made once.
//
//   bank serve n1 n1=127.0.0.1:7401,n2=127.0.0.1:7402,n3=127.0.0.1:7403 127.0.0.1:8001 LEDGER [new]
//   bank transfer 127.0.0.1:8001 KEY alice bob 1000
//
// LEDGER stands for the database: a file that all replicas append to. `serve` says when it serves,
// and ends with its input.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/bank.grpc.pb.h"
#include "tenure/grpc/idempotent_handler.h"
#include "tenure/tenure.h"

namespace {

class Bank final : public bank::Bank::Service {
 public:
  Bank(const tenure::Coordinator& coordinator, std::string ledger)
      : transfers_(coordinator.idempotency("bank.Transfer")), ledger_(std::move(ledger)) {}

  grpc::Status Transfer(grpc::ServerContext* context, const bank::TransferRequest* request,
                        bank::TransferReply* reply) override {
    return tenure::grpc::RunIdempotent(
        context, transfers_, *request, reply,
        [&](tenure::Attempt& attempt) { return Book(*request, attempt.token(), reply); },
        {.required = true, .wait = absl::Seconds(5)});
  }

 private:
  grpc::Status Book(const bank::TransferRequest& request, tenure::Revision token,
                    bank::TransferReply* reply) {
    if (request.cents() <= 0) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "a transfer is of one cent at least"};
    }
    // A database would compare the token with the row's: docs/fencing.md.
    const std::string line =
        absl::StrCat(token, " ", request.from(), " ", request.to(), " ", request.cents(), "\n");
    const int file = open(ledger_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    const bool booked =
        file >= 0 && write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (file >= 0) close(file);
    // The next call tries again: this failure passes, so it is not stored.
    if (!booked) return {grpc::StatusCode::UNAVAILABLE, "the ledger cannot be written"};
    reply->set_receipt(absl::StrCat("transfer ", token));
    return grpc::Status::OK;
  }

  const tenure::IdempotencyStore transfers_;
  const std::string ledger_;
};

int Serve(const std::string& id, const std::string& cluster, const std::string& address,
          const std::string& ledger, bool all_new) {
  absl::StatusOr<std::unique_ptr<tenure::Member>> member =
      tenure::StartMember({.id = id, .cluster = cluster, .assert_new = all_new});
  if (!member.ok()) {
    std::fprintf(stderr, "%s\n", member.status().ToString().c_str());
    return 69;
  }
  Bank service((*member)->coordinator(), ledger);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::fprintf(stderr, "%s: the port is taken\n", address.c_str());
    return 69;
  }
  std::printf("serves at port %d\n", port);
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
  server->Shutdown();
  (*member)->HandOver().IgnoreError();
  return 0;
}

int Transfer(const std::string& address, const std::string& key,
             const bank::TransferRequest& request) {
  const auto bank =
      bank::Bank::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.AddMetadata(tenure::grpc::kIdempotencyKey, key);
  context.set_wait_for_ready(true);
  bank::TransferReply reply;
  const grpc::Status status = bank->Transfer(&context, request, &reply);
  const auto& trailing = context.GetServerTrailingMetadata();
  const bool replayed = trailing.count(tenure::grpc::kIdempotencyReplayed) > 0;
  if (!status.ok()) {
    std::fprintf(stderr, "%d %s%s\n", status.error_code(), status.error_message().c_str(),
                 replayed ? " (as before)" : "");
    return 1;
  }
  std::printf("%s%s\n", reply.receipt().c_str(), replayed ? " (as before)" : "");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "serve" && (argc == 6 || argc == 7)) {
    return Serve(argv[2], argv[3], argv[4], argv[5], argc == 7);
  }
  if (verb == "transfer" && argc == 7) {
    bank::TransferRequest request;
    request.set_from(argv[4]);
    request.set_to(argv[5]);
    request.set_cents(std::atoll(argv[6]));
    return Transfer(argv[2], argv[3], request);
  }
  std::fprintf(stderr,
               "usage: bank serve ID CLUSTER ADDRESS LEDGER [new]\n"
               "       bank transfer ADDRESS KEY FROM TO CENTS\n");
  return 64;
}
