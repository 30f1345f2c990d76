// tenure::Member: a node, what it stands on, and a coordinator into it.
#include "tenure/member.h"

#include <algorithm>
#include <future>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backends/reaper.h"
#include "backends/replicated.h"
#include "member/lead_board.h"
#include "member/node.h"
#include "transport/link.h"

namespace tenure {
namespace {

using backends::Link;
using backends::LinkSink;

// What a member's coordinators share with it: the Loop outlives the member for as long as one of
// them is used, and `node` tells, on the Loop, whether the member is still there.
struct Shared {
  explicit Shared(std::unique_ptr<Transport> t) : transport(std::move(t)) {}

  const std::unique_ptr<Transport> transport;
  member::Node* node = nullptr;
};

// A port into the member of this process, as a Link.
class PortLink final : public Link, public member::PortSink {
 public:
  PortLink(std::shared_ptr<Shared> shared, LinkSink* sink)
      : shared_(std::move(shared)), state_(std::make_shared<State>(State{sink})) {
    if (shared_->node != nullptr) port_ = shared_->node->OpenPort(this);
    shared_->transport->loop().Post([state = state_, open = shared_->node != nullptr] {
      if (state->sink == nullptr) return;
      if (open) {
        state->sink->OnConnected("");
      } else {
        state->sink->OnClosed(absl::UnavailableError("this process's member has stopped"));
      }
    });
  }

  ~PortLink() override {
    state_->sink = nullptr;
    if (port_ != 0 && shared_->node != nullptr) shared_->node->ClosePort(port_);
  }

  void Send(std::vector<ClientRequest> requests) override {
    if (shared_->node != nullptr) shared_->node->SendOnPort(port_, std::move(requests));
  }

  void OnMessage(ServerMessage message) override {
    if (state_->sink != nullptr) state_->sink->OnMessage(std::move(message));
  }

 private:
  struct State {
    LinkSink* sink;
  };

  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<State> state_;
  member::PortId port_ = 0;
};

// Runs `work` on `loop` and waits for it.
void RunOnLoop(Loop& loop, absl::AnyInvocable<void() &&> work) {
  if (loop.OnLoop()) return std::move(work)();
  std::promise<void> ran;
  std::future<void> over = ran.get_future();
  // A stopped Loop drops the promise with the work: that ends the wait, too.
  loop.Post([work = std::move(work), ran = std::move(ran)]() mutable {
    std::move(work)();
    ran.set_value();
  });
  over.wait();
}

class MemberImpl final : public Member {
 public:
  MemberImpl(std::shared_ptr<Shared> shared, std::unique_ptr<Storage> storage,
             std::unique_ptr<member::Node> node)
      : shared_(std::move(shared)), storage_(std::move(storage)), node_(std::move(node)) {
    RunOnLoop(loop(), [this] { shared_->node = node_.get(); });
  }

  ~MemberImpl() override { Stop(); }

  Coordinator coordinator(CoordinatorOptions options) override {
    const std::shared_ptr<Loop> loop(shared_, &shared_->transport->loop());
    auto backend =
        backends::NewReplicatedBackend(loop,
                                       [shared = shared_](const std::string&, LinkSink* sink) {
                                         return std::make_unique<PortLink>(shared, sink);
                                       },
                                       {.endpoints = {"this member"}});
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(backends_, [](const auto& weak) { return weak.expired(); });
      backends_.push_back(backend);
    }
    return Coordinator(std::move(backend), std::move(options));
  }

  GroupLeadership leadership() override {
    loop().Post([shared = shared_] {
      if (shared->node != nullptr) shared->node->WatchLead();
    });
    return GroupLeadership(node_->lead(), shared_);
  }

  MemberId id() const override { return node_->id(); }
  std::string address() const override { return shared_->transport->bound_address(); }

  void GetStatus(absl::AnyInvocable<void(ClusterStatus) &&> done) override {
    loop().Post([shared = shared_, done = std::move(done)]() mutable {
      std::move(done)(shared->node == nullptr ? ClusterStatus{.message = "the member has stopped"}
                                              : shared->node->Status());
    });
  }

  absl::Status HandOver() override {
    std::promise<void> handed;
    std::future<void> over = handed.get_future();
    auto result = std::make_shared<absl::Status>();
    loop().Post([shared = shared_, result, handed = std::move(handed)]() mutable {
      if (shared->node == nullptr) return handed.set_value();
      // A node that is stopped meanwhile drops the promise: that ends the wait, too.
      shared->node->HandOver(
          [result = std::move(result), handed = std::move(handed)](absl::Status status) mutable {
            *result = std::move(status);
            handed.set_value();
          });
    });
    over.wait();
    return *result;
  }

  void Stop() override {
    std::vector<std::weak_ptr<Backend>> backends;
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return;
      stopped_ = true;
      backends.swap(backends_);
    }
    for (const auto& weak : backends) {
      if (const auto backend = weak.lock()) backend->Shutdown();
    }
    // Behind the shutdowns: links into the node are closed by then.
    RunOnLoop(loop(), [this] { shared_->node = nullptr; });
    node_->Stop();
  }

 private:
  Loop& loop() const { return shared_->transport->loop(); }

  const std::shared_ptr<Shared> shared_;
  const std::unique_ptr<Storage> storage_;
  const std::unique_ptr<member::Node> node_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Backend>> backends_;
  bool stopped_ = false;
};

}  // namespace

Term GroupLeadership::term() const { return board_ == nullptr ? 0 : board_->Leads(); }

std::stop_token GroupLeadership::lost() const {
  return board_ == nullptr ? std::stop_token() : board_->lost();
}

absl::StatusOr<std::unique_ptr<Member>> Member::Start(MemberOptions options,
                                                      std::unique_ptr<Transport> transport,
                                                      std::unique_ptr<Storage> storage) {
  if (transport == nullptr || storage == nullptr) {
    return absl::InvalidArgumentError("a member needs a transport and a storage");
  }
  // The Loop lives in the transport, which coordinators keep alive.
  const std::shared_ptr<Shared> shared(new Shared(std::move(transport)), [](Shared* last) {
    backends::ReleaseOffLoop(last->transport->loop(), std::unique_ptr<Shared>(last));
  });
  absl::StatusOr<std::unique_ptr<member::Node>> node =
      member::Node::Start(std::move(options), shared->transport.get(), storage.get());
  if (!node.ok()) return node.status();
  return std::make_unique<MemberImpl>(shared, std::move(storage), *std::move(node));
}

}  // namespace tenure
