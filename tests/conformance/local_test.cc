#include "backends/local.h"

#include <memory>
#include <utility>

#include "conformance/conformance.h"

namespace tenure::conformance {
namespace {

class LocalFixture final : public BackendFixture {
 public:
  Coordinator Connect(CoordinatorOptions options) override {
    return Coordinator(backend_, std::move(options));
  }

 private:
  const std::shared_ptr<Backend> backend_ = backends::LocalBackend::New();
};

std::unique_ptr<BackendFixture> NewLocal(Elections) { return std::make_unique<LocalFixture>(); }

const auto kBackends = testing::Values(BackendCase{
    "local",
    &NewLocal,
    // Whose machine is gone is gone, too.
    {Capability::kLeaderKill, Capability::kLeaderCut, Capability::kOutage, Capability::kRestart}});

INSTANTIATE_TEST_SUITE_P(Local, Conformance, kBackends, BackendCase::Name);
INSTANTIATE_TEST_SUITE_P(Local, SteadyConformance, kBackends, BackendCase::Name);

}  // namespace
}  // namespace tenure::conformance
