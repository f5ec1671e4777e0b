#include "cm/trust/trust_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/signed_metadata.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

constexpr uint32_t kTrustFormat = 1;
// Enough to go back through years of releases; keeps the record small.
constexpr int kMaxCommitted = 64;

absl::Time LatestTime(const record::v1::TrustRecord& record) {
  return record.has_latest_time() ? ExpiryOf(true, record.latest_time()) : absl::InfinitePast();
}

void SetLatestTime(record::v1::TrustRecord& record, absl::Time time) {
  if (time <= LatestTime(record)) return;
  record.mutable_latest_time()->set_seconds(absl::ToUnixSeconds(time));
}

// No program runs before it was built.
absl::Time BuildTime() {
  absl::Time time = absl::InfinitePast();
  absl::ParseTime("%Y-%m-%d", TANDEM_BUILD_DATE, &time, nullptr);
  return time;
}

absl::StatusOr<record::v1::TrustRecord> Parse(const std::string& bytes, const std::string& path) {
  record::v1::TrustRecord record;
  if (!record.ParseFromString(bytes) || record.key_sets().empty()) {
    return absl::DataLossError(absl::StrCat(path, " is not a trust record"));
  }
  return record;
}

}  // namespace

absl::StatusOr<TrustStore> TrustStore::Load(FileSystem& fs, const std::string& path,
                                            const std::string& first_key_set_file, const std::string& name_space) {
  TrustStore store(fs, path);
  // Whether a record was there and is damaged; also when a restart came between setting it aside and writing a new one.
  absl::StatusOr<std::string> bytes = store.file_.Read();
  if (bytes.ok()) {
    absl::StatusOr<record::v1::TrustRecord> record = Parse(*bytes, path);
    if (record.ok()) {
      store.record_ = *std::move(record);
      return store;
    }
    bytes = record.status();
  }
  if (!absl::IsDataLoss(bytes.status()) && !absl::IsNotFound(bytes.status())) {
    return Annotate(bytes.status(), "trust record");
  }
  absl::StatusOr<std::string> previous = store.file_.ReadPrevious();
  if (previous.ok()) {
    ASSIGN_OR_RETURN(record::v1::TrustRecord record, Parse(*previous, absl::StrCat(path, ".prev")));
    LogWarning("trust record damaged, continuing from the copy before it: sequence and floors may be one step old",
               {{"reason", ToPersonText(bytes.status())}, {"sequence", absl::StrCat(record.sequence())}});
    RETURN_IF_ERROR(store.Save(record));
    return store;
  }
  const bool was_there =
      absl::IsDataLoss(bytes.status()) || absl::IsDataLoss(previous.status()) || fs.Exists(path + ".corrupt");
  if (was_there) {
    return absl::DataLossError(
        absl::StrCat("trust record ", path,
                     " and its previous copy are damaged: floors and the accepted sequence are lost. Restore ", path,
                     ", or remove ", path, "* to trust this unit's first key set again"));
  }
  ASSIGN_OR_RETURN(const std::string first,
                   Annotate(fs.ReadFile(first_key_set_file, kMaxEnvelopeBytes), "trust.key_set"));
  ASSIGN_OR_RETURN(const TrustedKeys keys, Annotate(TrustedKeys::FromFirst(first, name_space), first_key_set_file));
  record::v1::TrustRecord record;
  record.set_format(kTrustFormat);
  record.add_key_sets(first);
  record.set_key_set_version(keys.version());
  RETURN_IF_ERROR(store.Save(record));
  return store;
}

absl::Status TrustStore::Save(const record::v1::TrustRecord& next) {
  RETURN_IF_ERROR(Annotate(file_.Write(next.SerializeAsString()), "save the trust record"));
  record_ = next;
  return absl::OkStatus();
}

absl::Status TrustStore::Accept(const AcceptedDesired& desired) {
  record::v1::TrustRecord next = record_;
  next.clear_key_sets();
  for (const std::string& envelope : desired.key_sets) next.add_key_sets(envelope);
  next.set_key_set_version(desired.key_set_version);
  next.set_sequence(desired.assignment.sequence());
  next.set_attempt(desired.assignment.attempt());
  next.set_assignment_digest(desired.assignment_digest);
  next.set_release_list_version(std::max(next.release_list_version(), desired.release_list_version));
  if (desired.assignment.has_issued_at()) SetLatestTime(next, ExpiryOf(true, desired.assignment.issued_at()));
  return Save(next);
}

absl::StatusOr<int> TrustStore::UpdateKeySets(const std::vector<std::string>& envelopes, const std::string& name_space,
                                              absl::Time now) {
  const std::vector<std::string> chain(record_.key_sets().begin(), record_.key_sets().end());
  ASSIGN_OR_RETURN(const TrustedKeys keys, LoadKeySetChain(chain, name_space));
  ASSIGN_OR_RETURN(const KeySetWalk walk, WalkKeySets(keys, envelopes, now));
  if (walk.taken.empty()) return 0;
  record::v1::TrustRecord next = record_;
  for (const std::string& envelope : walk.taken) next.add_key_sets(envelope);
  // key_set_version stays: it belongs to the accepted sequence.
  RETURN_IF_ERROR(Save(next));
  return static_cast<int>(walk.taken.size());
}

absl::Status TrustStore::AddCommitted(const std::vector<std::string>& release_digests) {
  record::v1::TrustRecord next = record_;
  std::vector<std::string> committed(next.committed_releases().begin(), next.committed_releases().end());
  for (const std::string& digest : release_digests) {
    std::erase(committed, digest);
    committed.push_back(digest);
  }
  if (committed.size() > kMaxCommitted) committed.erase(committed.begin(), committed.end() - kMaxCommitted);
  *next.mutable_committed_releases() = {committed.begin(), committed.end()};
  return Save(next);
}

absl::Status TrustStore::RaiseFloors(const std::map<std::string, uint64_t>& security_versions) {
  record::v1::TrustRecord next = record_;
  bool raised = false;
  for (const auto& [type, version] : security_versions) {
    uint64_t& floor = (*next.mutable_security_floor())[type];
    raised |= version > floor;
    floor = std::max(floor, version);
  }
  return raised ? Save(next) : absl::OkStatus();
}

absl::Time TrustStore::TrustedNow(absl::Time rtc) const { return std::max({rtc, LatestTime(record_), BuildTime()}); }

}  // namespace tandem::cm
