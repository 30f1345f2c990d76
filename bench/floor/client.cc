#include "bench/floor/client.h"

#include <grpc/support/time.h>
#include <grpcpp/create_channel.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "bench/floor/wire.h"

namespace tenure::bench::floor {
namespace {

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "tenure_bench_floor: %s\n", what);
  std::_Exit(1);
}

void FutexWait(std::atomic<uint32_t>* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void FutexWakeAll(std::atomic<uint32_t>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

// ---- Connection -----------------------------------------------------------------------------

Connection::Connection(const std::string& address, std::chrono::microseconds spin,
                       std::function<void(grpc::ByteBuffer*)> on_frame)
    : stub_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                      FastChannelArguments())),
      loop_(&queue_, spin) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
  rpc_ = stub_.PrepareCall(&context_, kOperateMethod, &queue_);
  duplex_.emplace(rpc_.get(),
                  Duplex<Rpc>::Handlers{.on_frame = std::move(on_frame),
                                        .on_failed = [] { Die("the leader is gone"); }});
  bool started = false;
  Tag start([&started](bool ok) {
    if (!ok) Die("no leader at this address");
    started = true;
  });
  rpc_->StartCall(&start);
  while (!started) loop_.Turn();
}

Connection::~Connection() {
  context_.TryCancel();
  loop_.Drain();
}

// ---- DirectClient ---------------------------------------------------------------------------

DirectClient::DirectClient(const std::string& address, std::chrono::microseconds spin)
    : connection_(address, spin, [this](grpc::ByteBuffer* buffer) { OnFrame(buffer); }) {
  frame_.add_operations();
}

void DirectClient::Call(std::string_view payload) {
  Operation* operation = frame_.mutable_operations(0);
  operation->set_id(operation->id() + 1);
  operation->set_payload(payload.data(), payload.size());
  answered_ = false;
  // The reply can only follow the frame's arrival, but gRPC may report it before the Write.
  while (connection_.duplex().writing()) connection_.loop().Turn();
  connection_.duplex().Write(Serialize(frame_));
  connection_.duplex().Read();
  while (!answered_) connection_.loop().Turn();
}

void DirectClient::OnFrame(grpc::ByteBuffer* buffer) {
  if (!Parse(buffer, &replies_) || replies_.replies_size() != 1 ||
      replies_.replies(0).id() != frame_.operations(0).id() ||
      replies_.replies(0).payload() != frame_.operations(0).payload()) {
    Die("a wrong reply");
  }
  answered_ = true;
}

// ---- SharedClient ---------------------------------------------------------------------------

SharedClient::SharedClient(const std::string& address, std::chrono::microseconds spin)
    : woken_([this](bool) {
        std::lock_guard lock(mutex_);
        alarm_pending_ = false;
      }),
      connection_(address, spin, [this](grpc::ByteBuffer* buffer) { OnFrame(buffer); }) {
  next_ = FreeBatch();
  thread_ = std::thread([this] { Run(); });
}

SharedClient::~SharedClient() {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake = std::exchange(asleep_, false);
    alarm_pending_ |= wake;
  }
  if (wake) Wake();
  thread_.join();
}

bool SharedClient::AddLocked(std::string_view payload, Callback* callback) {
  if (next_->callbacks.empty()) next_->first_id = next_id_;
  Operation* operation = next_->frame.add_operations();
  operation->set_id(next_id_++);
  operation->set_payload(payload.data(), payload.size());
  next_->callbacks.push_back(callback);
  if (!asleep_) return false;
  asleep_ = false;
  alarm_pending_ = true;
  return true;
}

void SharedClient::Call(std::string_view payload) {
  Batch* batch = nullptr;
  size_t position = 0;
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    batch = next_;
    position = batch->callbacks.size();
    batch->readers.fetch_add(1, std::memory_order_relaxed);
    wake = AddLocked(payload, nullptr);
  }
  if (wake) Wake();
  while (batch->done.load(std::memory_order_acquire) == 0) FutexWait(&batch->done, 0);
  if (batch->replies.replies(static_cast<int>(position)).payload() != payload) {
    Die("a wrong reply");
  }
  batch->readers.fetch_sub(1, std::memory_order_release);
}

void SharedClient::Submit(std::string_view payload, Callback* callback) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    wake = AddLocked(payload, callback);
  }
  if (wake) Wake();
}

void SharedClient::Wake() {
  // Not under the lock. An alarm must not be set again before its event has come out of the
  // queue: asleep_ cannot become true again until then, so nobody else gets here.
  alarm_.Set(connection_.queue(), gpr_inf_past(GPR_CLOCK_MONOTONIC), &woken_);
}

void SharedClient::Run() {
  while (true) {
    WriteNext();
    {
      std::lock_guard lock(mutex_);
      const bool nothing_to_do = in_flight_ == nullptr && next_->callbacks.empty();
      // With an alarm pending, an event will come that looks again.
      asleep_ = nothing_to_do && !alarm_pending_;
      if (stopping_ && asleep_) return;
    }
    connection_.loop().Turn();
    std::lock_guard lock(mutex_);
    asleep_ = false;
  }
}

void SharedClient::WriteNext() {
  if (in_flight_ != nullptr || connection_.duplex().writing()) return;
  {
    std::lock_guard lock(mutex_);
    if (next_->callbacks.empty()) return;
    in_flight_ = next_;
    next_ = FreeBatch();
  }
  connection_.duplex().Write(Serialize(in_flight_->frame));
  connection_.duplex().Read();
}

SharedClient::Batch* SharedClient::FreeBatch() {
  for (const auto& batch : batches_) {
    if (batch.get() == in_flight_ || batch->readers.load(std::memory_order_acquire) != 0) continue;
    batch->frame.Clear();
    batch->callbacks.clear();
    batch->done.store(0, std::memory_order_relaxed);
    return batch.get();
  }
  return batches_.emplace_back(std::make_unique<Batch>()).get();
}

void SharedClient::OnFrame(grpc::ByteBuffer* buffer) {
  const auto arrived = std::chrono::steady_clock::now();
  Batch* batch = std::exchange(in_flight_, nullptr);
  if (!Parse(buffer, &batch->replies) ||
      batch->replies.replies_size() != static_cast<int>(batch->callbacks.size())) {
    Die("a wrong reply");
  }
  uint64_t id = batch->first_id;
  bool blocking = false;
  for (size_t i = 0; i < batch->callbacks.size(); ++i, ++id) {
    const Reply& reply = batch->replies.replies(static_cast<int>(i));
    if (reply.id() != id) Die("a wrong reply");
    Callback* callback = batch->callbacks[i];
    callback != nullptr ? callback->OnReply(reply.payload(), arrived) : void(blocking = true);
  }
  if (!blocking) return;
  batch->done.store(1, std::memory_order_release);
  FutexWakeAll(&batch->done);
}

}  // namespace tenure::bench::floor
