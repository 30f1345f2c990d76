#include "tests/sim/operator.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::sim {
namespace {

// Short, so that one that was lost is asked again soon.
constexpr absl::Duration kPatience = absl::Seconds(4);
constexpr absl::Duration kAgain = absl::Milliseconds(500);

}  // namespace

Operator::Operator(Scene& scene, Members& members)
    : scene_(scene),
      members_(members),
      machine_(scene.world.AddNode("op")),
      loop_(std::make_shared<MortalLoop>(machine_.loop())) {
  if (!scene.plan.On(Fault::kMembers)) return;
  backends::ReplicatedOptions options;
  for (int i = 0; i < members.size(); ++i) options.endpoints.push_back(members.address(i));
  options.linger = absl::ZeroDuration();
  options.seed = 1 + scene_.world.RandomBelow(1u << 30);
  coordinator_ = Coordinator(backends::NewReplicatedBackend(
      loop_, testing::VirtualLinks(scene_.world, machine_), options));
}

Operator::~Operator() {
  *alive_ = false;
  loop_->Die();
  if (coordinator_.backend() != nullptr) coordinator_.backend()->Shutdown();
  loop_->Drain();
  coordinator_ = Coordinator();
  loop_->Drain();
}

bool Operator::Replace(int member, absl::Duration after) {
  if (state_ != State::kIdle || members_.Leader() < 0) return false;
  after_ = after;
  if (const int missing = Missing(); missing >= 0) {
    member_ = missing;
    Enter(State::kAdding);
    return true;
  }
  if (!members_.running(member) || !members_.AllRemember(member)) return false;
  member_ = member;
  if (members_.Leader() == member) scene_.marks.Visit("leader to be removed");
  Enter(State::kRemoving);
  return true;
}

void Operator::PutIn() {
  if (state_ == State::kOut) Enter(State::kAdding);
}

void Operator::Finish() {
  finishing_ = true;
  PutIn();
}

bool Operator::Done() {
  if (!scene_.plan.On(Fault::kMembers)) return true;
  if (state_ != State::kIdle || members_.Leader() < 0) return false;
  member_ = Missing();
  if (member_ < 0) return true;
  Enter(State::kAdding);
  return false;
}

void Operator::Enter(State state) {
  state_ = state;
  ++entered_;
  members_.set_changing(state == State::kRemoving || state == State::kAdding);
  switch (state) {
    case State::kIdle:
      return;
    case State::kRemoving:
      scene_.line.Say(absl::StrCat(members_.name(member_), " is to be removed"));
      return Ask();
    case State::kOut:
      scene_.line.Say(absl::StrCat(members_.name(member_), " is out"));
      scene_.marks.Visit("member removed");
      members_.TakeOut(member_);
      if (finishing_) return Enter(State::kAdding);
      scene_.world.After(after_, [this, alive = alive_, entered = entered_] {
        if (*alive && entered == entered_) Enter(State::kAdding);
      });
      return;
    case State::kAdding:
      scene_.line.Say(absl::StrCat(members_.name(member_), " is to be added"));
      if (members_.out(member_)) members_.BringIn(member_);
      return Ask();
  }
}

void Operator::Ask() {
  // On its own loop, as its answers are.
  machine_.loop().Post([this, alive = alive_, asked = entered_] {
    if (!*alive || asked != entered_) return;
    auto done = [this, alive, asked](const absl::StatusOr<ClusterStatus>& answer) {
      if (*alive) OnAnswer(asked, answer.status());
    };
    const std::string name = members_.name(member_);
    if (state_ == State::kRemoving) {
      coordinator_.RemoveMember(name, kPatience, std::move(done));
    } else {
      coordinator_.AddMember(name, members_.address(member_), kPatience, std::move(done));
    }
  });
}

void Operator::OnAnswer(std::uint64_t asked, const absl::Status& answer) {
  if (asked != entered_) return;
  if (!answer.ok()) {
    scene_.marks.Visit("change of members asked again");
    scene_.line.Say(absl::StrCat("the operator hears: ", answer.message()));
    scene_.world.After(kAgain, [this, alive = alive_, asked] {
      if (*alive && asked == entered_) Ask();
    });
    return;
  }
  if (state_ == State::kRemoving) return Enter(State::kOut);
  scene_.marks.Visit("member added");
  Enter(State::kIdle);
}

int Operator::Missing() const {
  const int leader = members_.Leader();
  if (leader < 0) return -1;
  const ClusterStatus status = members_.Status(leader);
  for (int i = 0; i < members_.size(); ++i) {
    bool there = false;
    for (const MemberStatus& member : status.members)
      there = there || (member.id.name == members_.name(i) && member.role != "learner");
    if (!there) return i;
  }
  return -1;
}

}  // namespace tenure::sim
