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

std::unique_ptr<BackendFixture> NewLocal() { return std::make_unique<LocalFixture>(); }

INSTANTIATE_TEST_SUITE_P(Local, Conformance,
                         // Whose machine is gone is gone, too.
                         testing::Values(BackendCase{
                             "local",
                             &NewLocal,
                             {Capability::kLeaderKill, Capability::kLeaderCut,
                              Capability::kOutage}}),
                         BackendCase::Name);

}  // namespace
}  // namespace tenure::conformance
