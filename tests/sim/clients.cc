#include "tests/sim/clients.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/process.h"

namespace tenure::sim {

Clients::Clients(Scene& scene, Members& members, checker::LockHistory& history)
    : scene_(scene), members_(members), history_(history) {
  for (int i = 0; i < scene.plan.clients; ++i) {
    Slot slot;
    slot.name = absl::StrCat("c", i);
    slot.machine = &scene.world.AddNode(slot.name);
    slots_.push_back(std::move(slot));
  }
}

Clients::~Clients() {
  for (int i = 0; i < size(); ++i) Kill(i);
}

const std::string& Clients::name(int i) const { return slots_[i].name; }

void Clients::Start(int i) {
  slots_[i].machine->Restart();
  slots_[i].process = std::make_unique<Process>(*this, i);
}

void Clients::Look(int i) {
  if (running(i)) slots_[i].process->Look();
}

void Clients::Kill(int i) {
  if (slots_[i].process == nullptr) return;
  slots_[i].machine->Resume();
  slots_[i].machine->Kill();
  slots_[i].process = nullptr;
}

void Clients::Quiesce() {
  quiescent_ = true;
  for (Slot& slot : slots_) {
    if (slot.process != nullptr) slot.process->Quiesce();
  }
}

bool Clients::Idle() const {
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr && !slot.process->Idle()) return false;
  }
  return true;
}

void Clients::Resume() {
  quiescent_ = false;
  for (Slot& slot : slots_) {
    if (slot.process != nullptr) slot.process->Resume();
  }
}

void Clients::BeginRound() {
  for (Slot& slot : slots_) {
    if (slot.process == nullptr) continue;
    slot.process->ResetProgress();
    slot.process->GiveBackKept();
  }
}

bool Clients::AllMadeProgress() const {
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr && !slot.process->progressed()) return false;
  }
  return true;
}

std::string Clients::WhoIsStuck() const {
  std::string text;
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr)
      absl::StrAppend(&text, text.empty() ? "" : "; ", slot.process->Describe());
  }
  return text;
}

void Clients::TakeAndKeep(int i, const std::string& lock, absl::Duration ttl,
                          absl::AnyInvocable<void(Revision)> done) {
  slots_[i].process->TakeAndKeep(lock, ttl, std::move(done));
}

void Clients::List(int i, absl::AnyInvocable<void(absl::StatusOr<LockList>)> done) {
  slots_[i].process->List(std::move(done));
}

std::vector<const Hold*> Clients::Holds() const {
  std::vector<const Hold*> holds;
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr) slot.process->AddHolds(&holds);
  }
  return holds;
}

std::vector<const Share*> Clients::Shares() const {
  std::vector<const Share*> all;
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr) slot.process->AddShares(&all);
  }
  return all;
}

}  // namespace tenure::sim
