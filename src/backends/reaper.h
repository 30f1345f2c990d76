// Destroys what owns a Loop's thread, from whichever thread lets go of it last.
#ifndef TENURE_BACKENDS_REAPER_H_
#define TENURE_BACKENDS_REAPER_H_

#include <memory>
#include <thread>
#include <utility>

#include "tenure/loop.h"

namespace tenure::backends {

// Lets go of `owner`, which may own `loop`. A Loop's destructor joins its thread, which it cannot
// do on that thread: when a callback drops the last reference, a short-lived thread destroys it
// instead.
template <typename Owner>
void ReleaseOffLoop(const Loop& loop, Owner owner) {
  if (loop.OnLoop()) {
    std::thread([owner = std::move(owner)]() mutable { owner = Owner(); }).detach();
  } else {
    owner = Owner();
  }
}

}  // namespace tenure::backends

#endif  // TENURE_BACKENDS_REAPER_H_
