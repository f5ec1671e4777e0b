#include "tests/sim/unit.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/time/random_seed.h"
#include "tests/sim/checks.h"

namespace tandem::sim {
namespace {

using Kind = Trouble::Kind;

constexpr char kMain[] = "main";
// The unit must be at rest so long after the last trouble, and stay there for a while.
constexpr absl::Duration kPatience = absl::Seconds(420);
constexpr absl::Duration kStillness = absl::Seconds(8);

void SetSeconds(google::protobuf::Duration* duration, int seconds) { duration->set_seconds(seconds); }

config::v1::CmConfig ConfigOf(const Campaign& campaign) {
  config::v1::CmConfig config;
  config.set_hardware(kUnitHardware);
  for (const SimNode& node : campaign.nodes) {
    config::v1::Node& added = *config.add_nodes();
    added.set_node_id(node.um.node_id);
    added.set_computer(node.computer);
  }
  config::v1::Budgets& budgets = *config.mutable_budgets();
  SetSeconds(budgets.mutable_registration(), 10);
  SetSeconds(budgets.mutable_prepare(), 60);
  SetSeconds(budgets.mutable_ready(), 90);
  SetSeconds(budgets.mutable_start(), 20);
  SetSeconds(budgets.mutable_trial_deadline(), 60);
  SetSeconds(budgets.mutable_apply(), 10);
  SetSeconds(budgets.mutable_revert(), 20);
  config.mutable_rollback_window()->set_seconds(absl::ToInt64Seconds(campaign.rollback_window));
  if (campaign.needs_standstill) {
    auto& probe = *config.add_preconditions();
    probe.set_name("standstill");
    probe.mutable_exec()->add_command("standstill");
  }
  return config;
}

bool IsFinal(const std::string& word) {
  return word == "applied" || word == "reverted" || word == "refused" || word == "needs_service";
}

}  // namespace

Unit::Unit(const Campaign& campaign, bool tells)
    : campaign_(campaign), world_(campaign.seed, tells), network_(world_), cloud_(world_) {
  FixRandomSeeds(campaign.seed);
  const auto problem = [this](const std::string& text) { Problem(text); };
  computers_[kMain] = std::make_unique<Computer>(world_, kMain, problem);
  for (const SimNode& node : campaign_.nodes) {
    std::unique_ptr<Computer>& computer = computers_[node.computer];
    if (computer == nullptr) computer = std::make_unique<Computer>(world_, node.computer, problem);
  }
  cm_ = std::make_unique<Cm>(
      world_, *computers_[kMain], network_, cloud_, ConfigOf(campaign_),
      Cm::Hooks{.sends = [this](Um& um, const updatemanager::v2::CMMessages& message) { checks_->OnSend(um, message); },
                .phase_changed = [this] { PhaseChanged(); },
                .standstill = [this] { return standstill(); }});
  if (campaign_.durable_outbox) cm_->UseDurableOutbox();
  for (const SimNode& node : campaign_.nodes) {
    auto um = std::make_unique<Um>(world_, *computers_[node.computer], network_, node.um);
    um->SetCm(cm_.get());
    ums_[node.um.node_id] = std::move(um);
  }
  checks_ = std::make_unique<Checks>(*this);
  for (const Trouble& trouble : campaign_.troubles) {
    if (trouble.kind == Kind::kAssign) {
      for (const std::string& component : trouble.assignment.release.components) {
        network_.Serve(ImageOf(component, trouble.assignment.release.version, !trouble.assignment.release.bad_boot));
      }
    }
    if (trouble.phase.empty()) Schedule(trouble);
  }
}

Unit::~Unit() {
  for (auto& [node_id, um] : ums_) um->Kill();
  cm_->Kill();
}

void Unit::Problem(const std::string& text) {
  world_.Tell("PROBLEM: ", text);
  problems_.push_back(text);
}

const SimAssignment* Unit::FindAssignment(uint64_t sequence, uint32_t attempt) const {
  for (const Trouble& trouble : campaign_.troubles) {
    if (trouble.kind != Kind::kAssign) continue;
    if (trouble.assignment.sequence == sequence && trouble.assignment.attempt == attempt) return &trouble.assignment;
  }
  return nullptr;
}

void Unit::Schedule(const Trouble& trouble) {
  trouble_until_ = std::max(trouble_until_, world_.now() + trouble.at + trouble.lasts + absl::Seconds(1));
  world_.After(trouble.at, [this, trouble] {
    world_.Tell("-- ", Describe(trouble));
    Begin(trouble);
  });
}

Computer& Unit::ComputerOf(const std::string& whom) {
  const auto computer = computers_.find(whom);
  if (computer != computers_.end()) return *computer->second;
  Process* const process = FindProcess(whom);
  return process == nullptr ? *computers_.at(kMain) : process->computer();
}

Process* Unit::FindProcess(const std::string& whom) {
  if (whom == "CM") return cm_.get();
  const auto um = ums_.find(whom);
  return um == ums_.end() ? nullptr : um->second.get();
}

void Unit::Begin(const Trouble& trouble) {
  const auto later = [&](std::function<void()> then) { world_.After(trouble.lasts, std::move(then)); };
  const auto mirror = [&](Network::Trouble what) {
    network_.SetTrouble(what);
    later([this] { network_.SetTrouble(Network::Trouble::kNone); });
  };
  switch (trouble.kind) {
    case Kind::kPowerCut:
      return ComputerOf(trouble.whom).Restart(true, std::max(trouble.lasts, absl::Milliseconds(500)));
    case Kind::kPowerCutAtCall:
      return ComputerOf(trouble.whom).fs().CutPowerAtCall(trouble.count, world_.Between(0, 1'000'000));
    case Kind::kLeap:
      return ComputerOf(trouble.whom).clock().Leap(absl::Seconds(static_cast<int64_t>(trouble.count)));
    case Kind::kSuspend:
      return ComputerOf(trouble.whom).clock().Suspend(absl::Seconds(static_cast<int64_t>(trouble.count)));
    case Kind::kCrashLoop:
      return CrashLoop(world_.now() + trouble.lasts);
    case Kind::kHardware:
      cm_->config().set_hardware(trouble.text);
      return;
    case Kind::kNotFound:
      return mirror(Network::Trouble::kNotFound);
    case Kind::kUnavailable:
      return mirror(Network::Trouble::kUnavailable);
    case Kind::kWrongBytes:
      return mirror(Network::Trouble::kWrongBytes);
    case Kind::kSlow:
      network_.SetDelay(absl::Seconds(2));
      return later([this] { network_.SetDelay(absl::Milliseconds(100)); });
    case Kind::kMoves:
      if (moves_++ == 0) moving_since_ = world_.now();
      return later([this] { moves_ = std::max(moves_ - 1, 0); });
    case Kind::kBrokerAway:
      cloud_.SetReachable(false);
      return later([this] { cloud_.SetReachable(true); });
    case Kind::kLossy:
      cloud_.SetLosses(0.3);
      return later([this] { cloud_.SetLosses(0); });
    case Kind::kNoVerdict:
      return cloud_.SetVerdict(std::nullopt);
    case Kind::kBadVerdict:
      return cloud_.SetVerdict(false);
    case Kind::kAssign:
    case Kind::kRedeliver:
    case Kind::kAbort:
    case Kind::kPause:
    case Kind::kApprove:
      return BeginByPeople(trouble);
    case Kind::kExpect: {
      const std::string word = cloud_.LastWord(trouble.count, 1, nullptr);
      if (word != trouble.text) {
        Problem(
            absl::StrCat("assignment ", trouble.count, " is ", word, ", not ", trouble.text, ", in phase ", phase_));
      }
      return;
    }
    case Kind::kWait:
      return;
    default:
      if (Process* const process = FindProcess(trouble.whom); process != nullptr) BeginAtProcess(trouble, *process);
  }
}

void Unit::BeginByPeople(const Trouble& trouble) {
  cm::Coordinator* const coordinator = cm_->coordinator();
  switch (trouble.kind) {
    case Kind::kAssign:
      return cloud_.Assign(trouble.assignment);
    case Kind::kRedeliver:
      return cloud_.Redeliver();
    case Kind::kAbort:
      if (coordinator != nullptr) (void)coordinator->orders().Abort("enough");
      return;
    case Kind::kApprove:
      if (coordinator != nullptr) (void)coordinator->orders().Approve("go");
      return;
    case Kind::kPause:
      if (coordinator != nullptr) (void)coordinator->orders().Pause("wait");
      world_.After(trouble.lasts, [this] {
        if (cm_->coordinator() != nullptr) (void)cm_->coordinator()->orders().Resume("go on");
      });
      return;
    default:
      return;
  }
}

void Unit::BeginAtProcess(const Trouble& trouble, Process& process) {
  switch (trouble.kind) {
    case Kind::kKill:
      if (process.up()) process.End(/*restarts=*/true);
      return;
    case Kind::kKillAtCall:
      if (process.up()) process.fs().DieAtCall(trouble.count);
      return;
    case Kind::kFailCall:
      if (process.up()) process.fs().FailAtCall(trouble.count);
      return;
    case Kind::kDiskFull:
      process.SetWriteError(absl::ResourceExhaustedError("No space left on device"));
      world_.After(trouble.lasts, [&process] { process.SetWriteError(absl::OkStatus()); });
      return;
    case Kind::kDown:
      process.HoldDown(world_.now() + trouble.lasts);
      process.Kill();
      world_.After(trouble.lasts, [&process] { process.Start(); });
      return;
    case Kind::kFlip: {
      process.Kill();
      const std::string folder = process.name() == "CM" ? "/state/cm" : absl::StrCat("/state/", process.name());
      // A unit fresh from its maker has one copy of some records: without it CM waits for a person, as its text says.
      FakeFileSystem& fs = process.computer().fs();
      const std::string path = JoinPath(folder, trouble.text);
      if (fs.Exists(path + ".prev")) fs.Damage(path, 60, "\x55");
      world_.After(absl::Seconds(1), [&process] { process.Start(); });
      return;
    }
    default:
      if (const auto um = ums_.find(trouble.whom); um != ums_.end()) BeginAtUm(trouble, *um->second);
  }
}

void Unit::BeginAtUm(const Trouble& trouble, Um& um) {
  switch (trouble.kind) {
    case Kind::kAway:
      um.SetReachable(false);
      world_.After(trouble.lasts, [&um] { um.SetReachable(true); });
      return;
    case Kind::kHidden:
      um.HideComponentsUntil(world_.now() + trouble.lasts);
      return;
    case Kind::kFails:
    case Kind::kFailsAfter:
      um.FailMethod(trouble.text, trouble.kind == Kind::kFailsAfter, static_cast<int>(trouble.count));
      return;
    case Kind::kErrorText:
      um.SetErrorText(trouble.text);
      return;
    default:
      return;
  }
}

void Unit::CrashLoop(absl::Duration until) {
  if (world_.now() > until) return;
  if (cm_->up()) cm_->End(/*restarts=*/true);
  world_.After(absl::Milliseconds(1900), [this, until] { CrashLoop(until); });
}

void Unit::PhaseChanged() {
  if (cm_->coordinator() == nullptr) return;
  const cm::UnitUpdate& update = cm_->coordinator()->update();
  std::string phase(cm::Name(update.phase));
  if (phase == phase_) return;
  phase_ = phase;
  world_.Tell("phase ", phase, update.compensating ? " (compensating) " : " ", update.reason);
  checks_->OnPhase();
  if (!phases_seen_.insert(phase).second) return;
  for (const Trouble& trouble : campaign_.troubles) {
    if (trouble.phase == phase) Schedule(trouble);
  }
}

void Unit::LookAround() {
  for (auto& [name, computer] : computers_) computer->LookForPowerCut();
  const auto look = [](Process& process) {
    if (process.up() && !process.fs().alive()) process.End(/*restarts=*/true);
  };
  look(*cm_);
  for (auto& [node_id, um] : ums_) look(*um);
  if (cm_->WatchdogBarks()) {
    world_.Tell("the watchdog resets CM's computer");
    cm_->DisarmWatchdog();
    cm_->computer().Restart(false, absl::Milliseconds(500));
  }
  checks_->Always();
}

bool Unit::AtRest() {
  cm::Coordinator* const coordinator = cm_->coordinator();
  if (coordinator == nullptr || coordinator->update().phase != cm::Phase::kIdle) return false;
  const bool quiet = std::ranges::all_of(
      ums_, [](const auto& entry) { return entry.second->connected() && entry.second->step() == um::UmStep::kIdle; });
  const auto& assigned = cloud_.assigned();
  return quiet && (!assigned.has_value() || IsFinal(cloud_.LastWord(assigned->sequence, assigned->attempt, nullptr)));
}

void Unit::Calm() {
  world_.Tell("-- from now on nothing goes wrong");
  moves_ = 0;
  network_.SetTrouble(Network::Trouble::kNone);
  network_.SetDelay(absl::Milliseconds(100));
  cloud_.SetLosses(0);
  cloud_.SetReachable(true);
  cm_->SetWriteError(absl::OkStatus());
  for (auto& [node_id, um] : ums_) {
    um->SetWriteError(absl::OkStatus());
    um->SetReachable(true);
    um->ForgetFailures();
    um->Start();
  }
  cm_->Start();
}

CampaignResult Unit::Run() {
  for (auto& [name, computer] : computers_) computer->Boot();
  // A phase that begins later may bring more trouble.
  while (world_.now() < trouble_until_ && problems_.empty()) {
    world_.Step(trouble_until_);
    LookAround();
  }
  Calm();
  const absl::Duration end = world_.now() + kPatience;
  absl::Duration at_rest_since = absl::InfiniteDuration();
  bool rests = false;
  while (problems_.empty() && !rests && world_.now() < end) {
    world_.Step(end);
    LookAround();
    if (!AtRest()) {
      at_rest_since = absl::InfiniteDuration();
    } else if (at_rest_since == absl::InfiniteDuration()) {
      at_rest_since = world_.now();
    }
    rests = world_.now() - at_rest_since > kStillness;
  }
  CampaignResult result;
  result.end = problems_.empty() ? checks_->AtEnd(rests) : "broken";
  result.problems = problems_;
  result.story = world_.story();
  result.took = world_.now();
  for (const Cloud::Told& told : cloud_.told()) {
    result.told.push_back(absl::StrCat(told.sequence, ".", told.attempt, " ", told.state));
  }
  return result;
}

}  // namespace tandem::sim
