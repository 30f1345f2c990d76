// What a callback brings, for a thread that also waits for signals.
#ifndef CLI_OUTCOME_H_
#define CLI_OUTCOME_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "cli/descriptor.h"

namespace tenure::cli {

template <typename T>
class Outcome {
 public:
  // To give away as the callback; it may outlive the Outcome.
  auto callback() {
    return [state = state_](T value) {
      {
        const std::lock_guard lock(state->mutex);
        state->value.emplace(std::move(value));
      }
      const std::uint64_t one = 1;
      static_cast<void>(!write(state->event.get(), &one, sizeof(one)));
    };
  }

  // Readable once there is a value.
  int descriptor() const { return state_->event.get(); }
  bool ready() const {
    const std::lock_guard lock(state_->mutex);
    return state_->value.has_value();
  }
  // The value, once; nothing if it is not there within `timeout_ms`.
  std::optional<T> Take(int timeout_ms) {
    pollfd event = {descriptor(), POLLIN, 0};
    poll(&event, 1, timeout_ms);
    const std::lock_guard lock(state_->mutex);
    return std::exchange(state_->value, std::nullopt);
  }

 private:
  struct State {
    Descriptor event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    mutable std::mutex mutex;
    std::optional<T> value;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace tenure::cli

#endif  // CLI_OUTCOME_H_
