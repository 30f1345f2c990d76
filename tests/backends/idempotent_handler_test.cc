// What a gRPC handler answers that tenure::grpc::RunIdempotent wraps; with a server around it, see
// tests/examples/services_test.cc.
#include "tenure/grpc/idempotent_handler.h"

#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/test/server_context_test_spouse.h>

#include <functional>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "tenure/local.h"

namespace tenure::grpc {
namespace {

using google::protobuf::StringValue;
using ::testing::HasSubstr;

StringValue Text(const std::string& text) {
  StringValue value;
  value.set_value(text);
  return value;
}

class IdempotentHandlerTest : public ::testing::Test {
 protected:
  struct Call {
    ::grpc::Status status;
    std::string response;
    std::map<std::string, std::string> trailing;
  };
  // `handler` counts, and answers with `answer` and the request.
  Call Do(const std::string& key, const std::string& request,
          const ::grpc::Status& answer = ::grpc::Status::OK,
          const IdempotentOptions& options = {}) {
    ::grpc::ServerContext context;
    ::grpc::testing::ServerContextTestSpouse spouse(&context);
    if (!key.empty()) spouse.AddClientMetadata(kIdempotencyKey, key);
    Call call;
    StringValue response;
    call.status = RunIdempotent(
        &context, store_, Text(request), &response,
        [&](Attempt& attempt) {
          ++runs_;
          token_ = attempt.token();
          response.set_value("did " + request);
          if (inside_) inside_();
          return answer;
        },
        options);
    call.response = response.value();
    for (const auto& [name, value] : spouse.GetTrailingMetadata()) call.trailing[name] = value;
    return call;
  }

  Coordinator coordinator_ = *OpenLocal();
  IdempotencyStore store_ = coordinator_.idempotency("Method");
  std::function<void()> inside_;
  int runs_ = 0;
  Revision token_ = 0;
};

TEST_F(IdempotentHandlerTest, ARepeatIsAnsweredAndMarked) {
  const Call first = Do("k", "a");
  EXPECT_TRUE(first.status.ok());
  EXPECT_EQ(first.response, "did a");
  EXPECT_EQ(first.trailing.count(kIdempotencyReplayed), 0u);
  EXPECT_GT(token_, 0u);
  const Call again = Do("k", "a");
  EXPECT_TRUE(again.status.ok());
  EXPECT_EQ(again.response, "did a");
  EXPECT_EQ(again.trailing.at(kIdempotencyReplayed), "true");
  EXPECT_EQ(runs_, 1);
}

TEST_F(IdempotentHandlerTest, ACallInFlightIsAbortedWithWhenToAskAgain) {
  Call meanwhile;
  inside_ = [&] {
    inside_ = nullptr;
    meanwhile = Do("k", "a", ::grpc::Status::OK, {.retry_after = absl::Milliseconds(70)});
  };
  EXPECT_TRUE(Do("k", "a").status.ok());
  EXPECT_EQ(meanwhile.status.error_code(), ::grpc::StatusCode::ABORTED);
  EXPECT_EQ(meanwhile.trailing.at(kRetryPushback), "70");
  EXPECT_EQ(runs_, 1);
}

TEST_F(IdempotentHandlerTest, AnotherRequestIsAnInvalidArgument) {
  Do("k", "a");
  const Call other = Do("k", "b");
  EXPECT_EQ(other.status.error_code(), ::grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(other.status.error_message(), HasSubstr("another request"));
  EXPECT_EQ(runs_, 1);
}

TEST_F(IdempotentHandlerTest, WithoutAKeyItRunsEachTimeUnlessOneIsRequired) {
  EXPECT_TRUE(Do("", "a").status.ok());
  EXPECT_TRUE(Do("", "a").status.ok());
  EXPECT_EQ(runs_, 2);
  EXPECT_EQ(token_, 0u);
  EXPECT_EQ(Do("", "a", ::grpc::Status::OK, {.required = true}).status.error_code(),
            ::grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(runs_, 2);
}

// A lost session of the replica is none of the request's failures: another replica may do it.
TEST_F(IdempotentHandlerTest, WithoutASessionNothingIsDoneAndTheCallMayBeMadeAgain) {
  absl::StatusOr<Session> session = coordinator_.OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  store_ = session->idempotency("Method");
  ASSERT_TRUE(session->Close().ok());
  const Call call = Do("k", "a");
  EXPECT_EQ(call.status.error_code(), ::grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(call.status.error_message(), HasSubstr("nothing was done"));
  EXPECT_EQ(runs_, 0);
}

TEST_F(IdempotentHandlerTest, I5LastingFailuresAreStoredAndPassingOnesAreNot) {
  const ::grpc::Status busy(::grpc::StatusCode::UNAVAILABLE, "busy");
  EXPECT_EQ(Do("k", "a", busy).status.error_message(), "busy");
  EXPECT_EQ(Do("k", "a", busy).status.error_message(), "busy");
  EXPECT_EQ(runs_, 2);
  const ::grpc::Status none(::grpc::StatusCode::NOT_FOUND, "none");
  EXPECT_EQ(Do("k", "a", none).trailing.count(kIdempotencyReplayed), 0u);
  const Call again = Do("k", "a");
  EXPECT_EQ(again.status.error_code(), ::grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(again.status.error_message(), "none");
  EXPECT_EQ(again.trailing.at(kIdempotencyReplayed), "true");
  EXPECT_EQ(runs_, 3);
  const auto stores = [](const absl::Status&) { return true; };
  Do("j", "a", busy, {.stores = stores});
  EXPECT_EQ(Do("j", "a").status.error_message(), "busy");
  EXPECT_EQ(runs_, 4);
}

TEST_F(IdempotentHandlerTest, AReplyThatIsTooLongIsSaidAndNotStored) {
  const std::string large(70'000, 'x');
  EXPECT_EQ(Do("k", large).status.error_code(), ::grpc::StatusCode::INTERNAL);
  EXPECT_EQ(coordinator_.idempotency("Method").Get("k")->state, OperationState::kClaimable);
}

TEST_F(IdempotentHandlerTest, WhatIsNoAnswerOfTheMethodIsSaid) {
  Do("k", "a");
  IdempotencyStore store = store_;
  EXPECT_TRUE(store.Forget("k").ok());
  absl::StatusOr<Begun> begun =
      store.Begin("k", Fingerprint(internal::DeterministicBytes(Text("a"))));
  ASSERT_TRUE(begun.ok());
  EXPECT_TRUE(begun->attempt.Complete("\xff not a message").ok());
  EXPECT_EQ(Do("k", "a").status.error_code(), ::grpc::StatusCode::INTERNAL);
}

}  // namespace
}  // namespace tenure::grpc
