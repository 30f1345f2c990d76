// The grants that a session's handles hold, so that one that is taken away is told so.
#ifndef TENURE_CLIENT_GRANT_LIST_H_
#define TENURE_CLIENT_GRANT_LIST_H_

#include <cstddef>
#include <deque>
#include <stop_token>
#include <vector>

#include "tenure/command.h"

namespace tenure::client {

class Grant;

// Not thread-safe: under the session's lock.
class GrantList {
 public:
  void Add(Grant* grant);
  void Remove(Grant* grant);
  // Somebody took what was granted with this token: an administrator, or whoever came after an
  // attempt's deadline. Several have one token: of a lock that
  // its owner took again, all of which are lost; and of several locks that were taken at once, of
  // which only the one of that name is. Returns whom to tell, outside of the lock.
  std::vector<std::stop_source> Break(const LockLostEvent& lost);

 private:
  static bool Means(const LockLostEvent& lost, const Grant& grant);
  static void Tell(const LockLostEvent& lost, Grant& grant);

  // A break may be told before the answer that brings the grant: by the thread that broke it, where
  // the machine is in this process, or because the answer was lost and asked for again. One token
  // may be that of several guards of one owner.
  static constexpr std::size_t kBreaksMax = 64;

  Grant* first_ = nullptr;
  std::deque<LockLostEvent> breaks_;  // the last ones
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_GRANT_LIST_H_
