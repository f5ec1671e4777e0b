#include "tests/fleet/fleet_under_test.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"
#include "fleet/store/access_table.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/sqlite_database.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

constexpr char kComponentType[] = "part";

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  EXPECT_TRUE(value.ok()) << value.status();
  if (!value.ok()) abort();
  return *std::move(value);
}

}  // namespace

FleetUnderTest::FleetUnderTest() : maker("acme", absl::FromUnixSeconds(now)) {
  folder_ = (std::filesystem::temp_directory_path() / "fleet_XXXXXX").string();
  if (mkdtemp(folder_.data()) == nullptr) abort();
  EXPECT_TRUE(link.Start({.message = [](UnitMessage&&) { return true; }, .connection = {}, .unreadable = {}}).ok());
  Start();
  Write([&](StoreTransaction& tx) { return documents->ImportKeySets(tx, {maker.KeySetEnvelope()}, "test", now); });
}

FleetUnderTest::~FleetUnderTest() {
  // Counters are kept step by step; they must be what the rows say.
  Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(auto kept, Counters(tx, ""));
    RETURN_IF_ERROR(RebuildCounters(tx));
    RETURN_IF_ERROR(tx.WriteCounts());
    ASSIGN_OR_RETURN(auto counted, Counters(tx, ""));
    const auto is_zero = [](const auto& counter) { return counter.second == 0; };
    std::erase_if(kept, is_zero);
    std::erase_if(counted, is_zero);
    EXPECT_EQ(kept, counted);
    return absl::OkStatus();
  });
  store = nullptr;
  std::filesystem::remove_all(folder_);
}

void FleetUnderTest::Start() {
  store = OrDie(Store::Open(std::make_unique<FaultyDatabase>(OrDie(OpenSqlite(folder_)), faults)));
  documents = std::make_unique<Documents>("acme", maker.assignment[0]);
  orders = std::make_unique<Orders>(*documents, OrderOptions{});
  registry = std::make_unique<Registry>(*orders);
  verification = std::make_unique<Verification>(*documents, verification_options);
  operations = std::make_unique<RolloutOperations>(*documents, *verification);
  unit_operations = std::make_unique<UnitOperations>(*documents, *orders, *verification);
  runner_ = std::make_unique<RolloutRunner>(*store, *documents, *orders, verification_options);
  diagnostic_publisher_ = std::make_unique<DiagnosticPublisher>(*store, *documents, link);
  publisher_ = std::make_unique<Publisher>(*store, *documents, link, PublisherOptions{.controller_id = "test"});
  Write([&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(documents->Refresh(tx));
    return AssignmentTable(tx).UnclaimAll("test");
  });
}

void FleetUnderTest::Restart() {
  faults->Revive();
  publisher_ = nullptr;
  diagnostic_publisher_ = nullptr;
  runner_ = nullptr;
  store = nullptr;
  Start();
}

void FleetUnderTest::Write(const Store::Work& work) {
  const absl::Status status = store->Write("test", work);
  EXPECT_TRUE(status.ok()) << status;
}

std::string FleetUnderTest::Begin(int units) {
  AddUnits(units);
  const std::string release = Import("r1", "1.0.0");
  v1::RolloutSpec spec = Spec(release);
  spec.add_rings()->set_name("all");
  const int64_t rollout = Roll(spec);
  EXPECT_TRUE(RunUntil([&] { return State(rollout) == "complete"; })) << View(rollout).DebugString();
  EXPECT_EQ(UnitsAt(release), units);
  return release;
}

void FleetUnderTest::AddUnits(int count) {
  const int first = static_cast<int>(units_.size());
  for (int i = first; i < first + count; ++i) {
    const std::string unit_id = absl::StrFormat("u%03d", i);
    Write([&](StoreTransaction& tx) {
      return registry
          ->Register(tx, {.attributes = {.unit_id = unit_id, .hardware = "gw-2", .region = i % 2 == 0 ? "eu" : "us"}},
                     "test", now)
          .status();
    });
    SimulatedUnit& unit = units_[unit_id] = {.unit_id = unit_id};
    SetOnline(unit_id, true);
    SayReported(unit);
  }
}

void FleetUnderTest::SetOnline(const std::string& unit_id, bool online) {
  SimulatedUnit& unit = units_.at(unit_id);
  unit.online = online;
  unit::v1::Presence presence;
  presence.set_online(online);
  Send(unit, presence);
}

std::string FleetUnderTest::Import(const std::string& release_id, const std::string& version,
                                   release::v1::Plane plane) {
  return Import(
      maker.ReleaseOf(release_id, {{.type = absl::StrCat(kComponentType, plane), .version = version, .plane = plane}}));
}

std::string FleetUnderTest::ImportVerified(const std::string& release_id, const std::string& version,
                                           const std::vector<release::v1::Plane>& planes,
                                           const std::vector<release::v1::Plane>& rollback_order,
                                           const std::vector<std::string>& diagnostics) {
  std::vector<TestComponent> components;
  components.reserve(planes.size());
  for (const release::v1::Plane plane : planes) {
    components.push_back({.type = absl::StrCat(kComponentType, plane), .version = version, .plane = plane});
  }
  release::v1::Release release = maker.ReleaseOf(release_id, components);
  for (const std::string& name : diagnostics) {
    release::v1::Diagnostic& diagnostic = *release.add_diagnostics();
    diagnostic.set_name(name);
    diagnostic.set_run_after_ota(true);
    diagnostic.set_timeout_secs(20);
    diagnostic.mutable_check()->mutable_exec()->add_command("check");
  }
  for (const release::v1::Plane plane : rollback_order) release.mutable_rollback()->add_order(plane);
  return Import(release);
}

std::string FleetUnderTest::Import(const release::v1::Release& release) {
  const std::string envelope = maker.Seal(release);
  envelopes_.push_back(envelope);
  const std::string digest = HexEncode(PayloadDigest(envelope));
  EXPECT_TRUE(releases_[digest].ParseFromString(OrDie(ParseDsse(envelope)).payload));
  Write([&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(documents->ImportRelease(tx, envelope, {"http://127.0.0.1:1/"}, "test", now).status());
    release::v1::ReleaseList list = maker.ListOf(++list_version_, envelopes_);
    SetTimestamp(list.mutable_expires(), absl::FromUnixSeconds(now) + absl::Hours(24 * 300));
    return documents->ImportReleaseList(tx, maker.Seal(list), "test", now);
  });
  return digest;
}

v1::RolloutSpec FleetUnderTest::Spec(const std::string& release) {
  v1::RolloutSpec spec;
  spec.set_name("test");
  spec.set_release(release);
  spec.mutable_score_age()->set_seconds(20);
  return spec;
}

absl::StatusOr<int64_t> FleetUnderTest::TryRoll(const v1::RolloutSpec& spec) {
  int64_t number = 0;
  const absl::Status created = store->Write("test", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(number, operations->Create(tx, spec, "test", now));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(created);
  return number;
}

int64_t FleetUnderTest::Roll(const v1::RolloutSpec& spec) { return OrDie(TryRoll(spec)); }

absl::Status FleetUnderTest::Change(int64_t rollout, const std::string& verb, const std::string& unit_id) {
  v1::ChangeRolloutRequest request;
  request.set_id(static_cast<uint64_t>(rollout));
  request.set_verb(verb);
  request.set_unit_id(unit_id);
  return store->Write("test", [&](StoreTransaction& tx) { return operations->Change(tx, request, "test", now); });
}

absl::Status FleetUnderTest::Step() {
  // Messages: stored, and only then let go.
  std::vector<UnitMessage> messages = messages_;
  if (mix_.has_value()) {
    const size_t count = messages.size();
    for (size_t i = 0; i < count; ++i) {
      if ((*mix_)() % 3 == 0) messages.push_back(messages[i]);
    }
    std::ranges::shuffle(messages, *mix_);
  }
  ReportIntake intake(*documents, *registry, *verification, {});
  ReportReplies replies;
  if (!messages.empty()) {
    const absl::Status taken = store->Write("take", [&](StoreTransaction& tx) -> absl::Status {
      replies = {};
      for (const UnitMessage& message : messages) RETURN_IF_ERROR(intake.Take(tx, message, now, replies));
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(taken);
  }
  messages_.clear();
  for (const ReportReplies::VerdictTo& verdict : replies.verdicts) {
    ASSIGN_OR_RETURN(const std::string envelope, verification->Seal(verdict, now));
    RETURN_IF_ERROR(link.PublishVerdict(verdict.unit_id, envelope));
  }
  RETURN_IF_ERROR(Reap());
  RETURN_IF_ERROR(runner_->LookAtFailures(now, 100).status());
  RETURN_IF_ERROR(runner_->ScoreDue(now, 500).status());
  std::vector<RolloutRow> active;
  const absl::Status read = store->Read("active", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(active, RolloutTable(tx).Active());
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  for (const RolloutRow& rollout : active) {
    RETURN_IF_ERROR(Annotate(runner_->Look(rollout.number, now).status(), absl::StrCat("rollout ", rollout.number)));
  }
  RETURN_IF_ERROR(publisher_->PublishSome(now).status());
  RETURN_IF_ERROR(diagnostic_publisher_->PublishSome(now).status());
  AnswerDiagnostics();
  for (auto& [unit_id, unit] : units_) Answer(unit);
  const auto verdicts = link.verdicts();
  for (; verdicts_seen_ < verdicts.size(); ++verdicts_seen_) {
    SimulatedUnit& unit = units_.at(verdicts[verdicts_seen_].first);
    const release::v1::Verdict verdict = VerdictOf(verdicts[verdicts_seen_].second);
    // Of an order before, or said twice.
    if (!unit.on_trial || verdict.attempt() != unit.attempt) continue;
    unit.on_trial = false;
    if (!verdict.verified()) {
      // Back, with nothing to download.
      unit.runs = unit.previous;
      Say(unit, "reverted", verdict.reason());
      SayReported(unit);
      continue;
    }
    SayApplied(unit, /*provisional=*/false, unit.runs);
    SayReported(unit);
  }
  return absl::OkStatus();
}

absl::Status FleetUnderTest::Reap() {
  if (now - reaped_at_ < kReapSeconds) return absl::OkStatus();
  reaped_at_ = now;
  bool due = false;
  const absl::Status looked = store->Read("reap", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const bool storm_over, unit_operations->StormIsOver(tx, now));
    ASSIGN_OR_RETURN(due, Verification::HasDue(tx, now));
    due = due || storm_over;
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(looked);
  if (!due) return absl::OkStatus();
  std::vector<VerdictTo> verdicts;
  const absl::Status reaped = store->Write("reap", [&](StoreTransaction& tx) -> absl::Status {
    verdicts.clear();
    RETURN_IF_ERROR(unit_operations->EndStorm(tx, now));
    return verification->Reap(tx, now, 500, verdicts).status();
  });
  RETURN_IF_ERROR(reaped);
  for (const VerdictTo& to : verdicts) {
    ASSIGN_OR_RETURN(const std::string envelope, verification->Seal(to, now));
    RETURN_IF_ERROR(link.PublishVerdict(to.unit_id, envelope));
  }
  return absl::OkStatus();
}

bool FleetUnderTest::RunUntil(const std::function<bool()>& done, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    if (done()) return true;
    const absl::Status status = Step();
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok()) return false;
    ++now;
  }
  return done();
}

void FleetUnderTest::Run(int rounds) {
  int left = rounds;
  RunUntil([&] { return left-- == 0; }, rounds + 1);
}

// --- units ---

template <typename Payload>
void FleetUnderTest::Send(SimulatedUnit& unit, const Payload& payload, bool provisional) {
  UnitMessage message = FakeUnitLink::Message(unit.unit_id, unit.epoch, ++unit.seq, payload);
  if (provisional) message.kind = UnitMessage::Kind::kProvisional;
  messages_.push_back(std::move(message));
}

void FleetUnderTest::Say(SimulatedUnit& unit, const std::string& state, const std::string& reason) {
  unit::v1::Feedback feedback;
  feedback.set_sequence(unit.sequence);
  feedback.set_attempt(unit.attempt);
  feedback.set_state(state);
  feedback.set_reason(reason);
  Send(unit, feedback);
}

template <typename Message>
void AddRuns(const std::map<std::string, std::pair<std::string, std::string>>& runs, Message& message) {
  for (const auto& [plane, what] : runs) {
    unit::v1::PlaneReport& report = *message.add_planes();
    report.set_plane(plane);
    report.set_release_digest(what.first);
    release::v1::Plane value = release::v1::PLANE_UNSPECIFIED;
    EXPECT_TRUE(release::v1::Plane_Parse(plane, &value));
    unit::v1::ComponentReport& component = *message.add_components();
    component.set_component_type(absl::StrCat(kComponentType, value));
    component.set_version(what.second);
  }
}

void FleetUnderTest::SayApplied(SimulatedUnit& unit, bool provisional,
                                const std::map<std::string, std::pair<std::string, std::string>>& runs) {
  unit::v1::Applied applied;
  applied.set_sequence(unit.sequence);
  applied.set_attempt(unit.attempt);
  applied.set_boot_id("boot");
  AddRuns(runs, applied);
  Send(unit, applied, provisional);
}

void FleetUnderTest::SayReported(SimulatedUnit& unit) {
  unit::v1::Reported reported;
  reported.set_boot_id("boot");
  reported.set_sequence(unit.sequence);
  reported.set_attempt(unit.attempt);
  reported.set_phase("Idle");
  reported.set_hardware("gw-2");
  AddRuns(unit.runs, reported);
  Send(unit, reported);
}

std::string FleetUnderTest::ReleaseIdOf(const std::string& digest) const {
  const auto found = releases_.find(digest);
  return found == releases_.end() ? "" : found->second.release_id();
}

std::optional<release::v1::Assignment> FleetUnderTest::Retained(const std::string& unit_id) {
  const std::optional<std::string> desired = link.desired(unit_id);
  if (!desired.has_value()) return std::nullopt;
  const DesiredEnvelopes envelopes = OrDie(ParseDesired(*desired));
  const TrustedKeys keys = OrDie(TrustedKeys::FromFirst(envelopes.key_sets.at(0), "acme"));
  return OrDie(OpenAssignment(envelopes.assignment, keys)).document;
}

void FleetUnderTest::SayResult(const std::string& unit_id, const std::string& run_id, const std::string& diagnostic,
                               const std::string& outcome) {
  SimulatedUnit& unit = units_.at(unit_id);
  unit::v1::DiagnosticResult result;
  result.set_diagnostic(diagnostic);
  result.set_outcome(outcome);
  result.set_reason(outcome == "passed" ? "" : "412 ms, at most 200 allowed");
  UnitMessage message = FakeUnitLink::Message(unit.unit_id, unit.epoch, ++unit.seq, result);
  message.run_id = run_id;
  messages_.push_back(std::move(message));
}

release::v1::Verdict FleetUnderTest::VerdictOf(const std::string& envelope) const {
  const TrustedKeys keys = OrDie(TrustedKeys::FromFirst(maker.KeySetEnvelope(), "acme"));
  return OrDie(OpenVerdict(envelope, keys)).document;
}

void FleetUnderTest::AnswerDiagnostics() {
  const auto commands = link.diagnostics();
  for (; diagnostics_seen_ < commands.size(); ++diagnostics_seen_) {
    SimulatedUnit& unit = units_.at(commands[diagnostics_seen_].unit_id);
    if (!unit.online) continue;
    const TrustedKeys keys = OrDie(TrustedKeys::FromFirst(maker.KeySetEnvelope(), "acme"));
    const release::v1::DiagnosticCommand command =
        OrDie(OpenDiagnosticCommand(commands[diagnostics_seen_].command, keys)).document;
    EXPECT_EQ(command.unit_id(), unit.unit_id);
    EXPECT_GT(command.expires().seconds(), now);
    // Once, however often it comes.
    if (!unit.diagnosed.insert(absl::StrCat(command.run_id(), " ", command.diagnostic())).second) continue;
    const auto how = diagnoses_.find(ReleaseIdOf(HexEncode(command.release_digest())));
    const Diagnosis diagnosis = how == diagnoses_.end() ? Diagnosis::kPasses : how->second(unit);
    if (diagnosis == Diagnosis::kHangs) continue;
    SayResult(unit.unit_id, command.run_id(), command.diagnostic(),
              diagnosis == Diagnosis::kPasses ? "passed" : "failed");
  }
}

void FleetUnderTest::Answer(SimulatedUnit& unit) {
  if (!unit.online) return;
  if (unit.falls_back_at != 0 && now >= unit.falls_back_at) {
    unit.falls_back_at = 0;
    unit.runs = unit.previous;
    SayReported(unit);
  }
  // Looked at once, not in each round.
  const std::optional<std::string> desired = link.desired(unit.unit_id);
  if (!desired.has_value() || *desired == unit.seen) return;
  unit.seen = *desired;
  const std::optional<release::v1::Assignment> assignment = Retained(unit.unit_id);
  if (!assignment.has_value() || assignment->sequence() <= unit.sequence) return;
  Obey(unit, *assignment);
}

void FleetUnderTest::Obey(SimulatedUnit& unit, const release::v1::Assignment& assignment) {
  EXPECT_EQ(assignment.unit_id(), unit.unit_id);
  const bool refresh = assignment.attempt() == unit.attempt && unit.sequence != 0;
  unit.sequence = assignment.sequence();
  unit.attempt = assignment.attempt();
  if (refresh) {
    SayReported(unit);
    return;
  }
  // What was on trial is given up for it.
  if (std::exchange(unit.on_trial, false)) unit.runs = unit.previous;
  auto wanted = unit.runs;
  Behaviour behaviour = Behaviour::kGood;
  std::string digests;
  for (const release::v1::PlaneRelease& plane : assignment.planes()) {
    const std::string digest = HexEncode(plane.release_digest());
    absl::StrAppend(&digests, digest.substr(0, 8), " ");
    const release::v1::Release& release = releases_.at(digest);
    const std::string name = release::v1::Plane_Name(plane.plane());
    if (wanted.contains(name) && wanted[name].first == digest) continue;
    for (const release::v1::ReleaseComponent& component : release.components()) {
      if (component.plane() == plane.plane()) wanted[name] = {digest, component.version()};
    }
    const auto how = behaviours_.find(release.release_id());
    if (how != behaviours_.end()) behaviour = how->second(unit);
  }
  unit.orders.emplace_back(unit.sequence, digests);
  if (behaviour == Behaviour::kSilent) return;
  Say(unit, "preparing");
  Say(unit, "trial");
  switch (behaviour) {
    case Behaviour::kReverts:
      Say(unit, "reverting", "probe \"web\" fails");
      Say(unit, "reverted", "probe \"web\" fails");
      break;
    case Behaviour::kLies:
      SayApplied(unit, /*provisional=*/false, unit.runs);
      break;
    case Behaviour::kProvisional:
      unit.previous = std::exchange(unit.runs, wanted);
      unit.on_trial = true;
      SayApplied(unit, /*provisional=*/true, wanted);
      break;
    case Behaviour::kFallsBackLater:
      unit.falls_back_at = now + 10;
      [[fallthrough]];
    default:
      unit.previous = std::exchange(unit.runs, wanted);
      SayApplied(unit, /*provisional=*/false, wanted);
      break;
  }
  if (behaviour != Behaviour::kProvisional) SayReported(unit);
}

// --- what a test sees ---

v1::Rollout FleetUnderTest::View(int64_t rollout) {
  v1::Rollout view;
  const absl::Status read = store->Read("test", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const RolloutRow row, RolloutTable(tx).Get(rollout));
    ASSIGN_OR_RETURN(view, operations->View(tx, row));
    return absl::OkStatus();
  });
  EXPECT_TRUE(read.ok()) << read;
  return view;
}

uint64_t FleetUnderTest::Count(int64_t rollout, int ring, const std::string& state) {
  const v1::Rollout view = View(rollout);
  const auto& counts = view.rings(ring).counts();
  return counts.contains(state) ? counts.at(state) : 0;
}

UnitRow FleetUnderTest::Row(const std::string& unit_id) {
  UnitRow row;
  const absl::Status read = store->Read("test", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(row, UnitTable(tx).Get(unit_id, /*lock=*/false));
    return absl::OkStatus();
  });
  EXPECT_TRUE(read.ok()) << read;
  return row;
}

std::vector<AttemptRow> FleetUnderTest::AttemptsOf(const std::string& unit_id) {
  std::vector<AttemptRow> attempts;
  const int64_t number = Row(unit_id).number;
  const absl::Status read = store->Read("test", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(attempts, AttemptTable(tx).OfUnit(number, 100));
    return absl::OkStatus();
  });
  EXPECT_TRUE(read.ok()) << read;
  return attempts;
}

std::vector<DiagnosticRunRow> FleetUnderTest::RunsOf(const std::string& unit_id) {
  std::vector<DiagnosticRunRow> runs;
  const int64_t number = Row(unit_id).number;
  Read([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(runs, DiagnosticRunTable(tx).OfUnit(number, 100));
    return absl::OkStatus();
  });
  return runs;
}

ReleaseRow FleetUnderTest::ReleaseOf(const std::string& digest) {
  ReleaseRow row;
  Read([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(row, ReleaseTable(tx).Find(digest));
    return absl::OkStatus();
  });
  return row;
}

StormGuard FleetUnderTest::Guard() {
  StormGuard guard;
  Read([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(guard, unit_operations->Guard(tx, now));
    return absl::OkStatus();
  });
  return guard;
}

std::vector<AuditRow> FleetUnderTest::Audits(const std::string& event) {
  std::vector<AuditRow> found;
  Read([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(found, AuditTable(tx).List("", /*oldest_first=*/false, 0, 100'000));
    return absl::OkStatus();
  });
  std::erase_if(found, [&](const AuditRow& row) { return row.event != event; });
  return found;
}

void FleetUnderTest::Read(const Store::Work& work) {
  const absl::Status status = store->Read("test", work);
  EXPECT_TRUE(status.ok()) << status;
}

int64_t FleetUnderTest::Counter(const std::string& name) {
  int64_t value = 0;
  const absl::Status read = store->Read("test", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(value, fleet::Counter(tx, name));
    return absl::OkStatus();
  });
  EXPECT_TRUE(read.ok()) << read;
  return value;
}

int FleetUnderTest::UnitsAt(const std::string& digest, const std::string& plane) const {
  int count = 0;
  for (const auto& [unit_id, unit] : units_) {
    const auto found = unit.runs.find(plane);
    if (found != unit.runs.end() && found->second.first == digest) ++count;
  }
  return count;
}

}  // namespace tandem::fleet
