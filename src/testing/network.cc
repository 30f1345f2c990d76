// Links and messages between members; streams.cc has the clients' streams.
#include "tenure/testing/network.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "testing/network_impl.h"
#include "testing/random.h"

namespace tenure::testing {

namespace {

// Enough of a message to tell runs apart.
std::uint64_t Digest(const PeerBody& body) {
  std::uint64_t digest = body.index();
  if (const auto* message = std::get_if<raft::Message>(&body)) {
    digest = digest * 8 + message->index();
    digest = digest * 1'000'003 + std::visit([](const auto& m) { return m.term; }, *message);
    if (const auto* append = std::get_if<raft::AppendRequest>(message)) {
      digest = digest * 1'000'003 + append->prev_index * 1'009 + append->entries.size();
    }
  } else if (const auto* handshake = std::get_if<Handshake>(&body)) {
    digest = digest * 8 + handshake->index();
  }
  return digest;
}

}  // namespace

Address NetworkImpl::Intern(absl::string_view address) {
  const auto found = addresses_.find(address);
  if (found != addresses_.end()) return found->second;
  const Address id = static_cast<Address>(addresses_.size());
  addresses_.emplace(address, id);
  listeners_.emplace_back();
  return id;
}

// ---- Links
// ----------------------------------------------------------------------------------------

void NetworkImpl::SetLinkOptions(Address from, Address to, const LinkOptions& options) {
  LinkOf(from, to).options = options;
}

void NetworkImpl::SetLink(Address from, Address to, bool up) {
  Link& link = LinkOf(from, to);
  trace_.Mix(from, to, up);
  if (link.up == up) return;
  link.up = up;
  if (up) {
    PumpAll(from, to);
    return;
  }
  link.down_since_ns = events_.now_ns();
  disturbed_.emplace_back(from, to);
  PumpAll(from, to);
}

void NetworkImpl::SetClogged(Address from, Address to, bool clogged) {
  Link& link = LinkOf(from, to);
  trace_.Mix(from, to, clogged);
  link.clogged = clogged;
  if (clogged) {
    disturbed_.emplace_back(from, to);
    return;
  }
  std::vector<std::unique_ptr<Flight>> held = std::exchange(link.held, {});
  while (!held.empty()) {
    std::swap(held[random_.Below(held.size())], held.back());
    std::unique_ptr<Flight> flight = std::move(held.back());
    held.pop_back();
    Deliver(std::move(flight));
  }
  PumpAll(from, to);
}

void NetworkImpl::MendAll() {
  for (const auto& [from, to] : std::exchange(disturbed_, {})) {
    SetLink(from, to, true);
    if (LinkOf(from, to).clogged) SetClogged(from, to, false);
  }
}

// ---- Messages
// -------------------------------------------------------------------------------------

absl::Status NetworkImpl::Listen(const std::shared_ptr<Endpoint>& endpoint) {
  std::shared_ptr<Endpoint>& listener = listeners_[Intern(endpoint->self.address)];
  if (listener != nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", endpoint->self.address, ": address in use"));
  }
  listener = endpoint;
  return absl::OkStatus();
}

void NetworkImpl::Send(Address from, Address to, Envelope envelope) {
  ++sent_;
  Link& link = LinkOf(from, to);
  const LinkOptions& options = OptionsOf(link);
  trace_.Mix(events_.now_ns(), from, to, Digest(envelope.body));
  if (!link.up || link.in_flight >= options.capacity) return;
  if (DrawChance(random_, options.loss)) return;
  if (DrawChance(random_, options.duplication)) {
    const std::int64_t later = DrawNs(random_, options.latency_min, options.latency_max) +
                               DrawNs(random_, absl::ZeroDuration(), options.duplicate_delay);
    auto copy = std::make_unique<Flight>(this, &link, from, to, envelope);
    events_.Add(events_.now_ns() + later, [flight = std::move(copy)]() mutable {
      // What is called is known before its argument moves.
      flight->network->Arrive(std::move(flight));  // NOLINT(bugprone-use-after-move)
    });
  }
  std::int64_t at = events_.now_ns() + DrawNs(random_, options.latency_min, options.latency_max);
  if (!DrawChance(random_, options.reordering)) {
    at = std::max(at, link.last_arrival_ns);
    link.last_arrival_ns = at;
  }
  auto original = std::make_unique<Flight>(this, &link, from, to, std::move(envelope));
  events_.Add(at, [flight = std::move(original)]() mutable {
    flight->network->Arrive(std::move(flight));  // NOLINT(bugprone-use-after-move): likewise
  });
}

void NetworkImpl::Arrive(std::unique_ptr<Flight> flight) {
  Link* const link = flight->link;
  if (link->clogged) {
    link->held.push_back(std::move(flight));
  } else {
    Deliver(std::move(flight));
  }
}

void NetworkImpl::Deliver(std::unique_ptr<Flight> flight) {
  const std::shared_ptr<Endpoint>& listener = listeners_[flight->to];
  if (!flight->link->up || listener == nullptr) return;
  if (flight->envelope.to.name != listener->self.id.name) return;
  ++delivered_;
  flight->receiver = listener;
  listener->loop->Post([flight = std::move(flight)] {
    if (flight->receiver->sink == nullptr) return;
    flight->receiver->sink->OnPeer(std::move(flight->envelope));
  });
}

// ---- The handle
// -----------------------------------------------------------------------------------

void VirtualNetwork::SetDefaults(const LinkOptions& options) { impl_.SetDefaults(options); }
void VirtualNetwork::SetLinkOptions(absl::string_view from, absl::string_view to,
                                    const LinkOptions& options) {
  impl_.SetLinkOptions(impl_.Intern(from), impl_.Intern(to), options);
}
void VirtualNetwork::SetLink(absl::string_view from, absl::string_view to, bool up) {
  impl_.SetLink(impl_.Intern(from), impl_.Intern(to), up);
}
void VirtualNetwork::SetLinks(absl::string_view a, absl::string_view b, bool up) {
  SetLink(a, b, up);
  SetLink(b, a, up);
}
void VirtualNetwork::MendAll() { impl_.MendAll(); }
void VirtualNetwork::SetClogged(absl::string_view from, absl::string_view to, bool clogged) {
  impl_.SetClogged(impl_.Intern(from), impl_.Intern(to), clogged);
}
void VirtualNetwork::set_stream_timeout(absl::Duration timeout) {
  impl_.set_stream_timeout(timeout);
}
std::uint64_t VirtualNetwork::messages_sent() const { return impl_.sent(); }
std::uint64_t VirtualNetwork::messages_delivered() const { return impl_.delivered(); }

}  // namespace tenure::testing
