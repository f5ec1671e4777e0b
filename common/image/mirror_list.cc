#include "common/image/mirror_list.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem {

MirrorList::MirrorList(std::vector<std::string> urls) {
  for (std::string& url : urls) mirrors_.push_back({.url = std::move(url)});
}

std::optional<size_t> MirrorList::Current() {
  std::optional<size_t> best;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    if (!Usable(mirrors_[i])) continue;
    const auto rank = [&](size_t one) {
      return std::tuple(mirrors_[one].failures + mirrors_[one].wrong_now, mirrors_[one].wrong_now,
                        mirrors_[one].wrong_chunks);
    };
    if (!best.has_value() || rank(i) < rank(*best)) best = i;
  }
  return best;
}

void MirrorList::Progressed() {
  for (Mirror& mirror : mirrors_) mirror.failures = 0;
}

bool MirrorList::FailedForNow(size_t mirror) {
  const int round = ++mirrors_[mirror].failures;
  return std::all_of(mirrors_.begin(), mirrors_.end(),
                     [&](const Mirror& one) { return !Usable(one) || one.failures >= round; });
}

void MirrorList::FailedForGood(size_t mirror, absl::Status why) { mirrors_[mirror].failed_for_good = std::move(why); }

bool MirrorList::MayGoOn(size_t mirror) const {
  return Usable(mirrors_[mirror]) && mirrors_[mirror].failures < kFailuresInARow;
}

void MirrorList::SentWrongChunk(size_t mirror) {
  ++mirrors_[mirror].wrong_now;
  ++mirrors_[mirror].wrong_chunks;
}

void MirrorList::NextChunk() {
  for (Mirror& mirror : mirrors_) mirror.wrong_now = 0;
}

bool MirrorList::SomeAreWrong() const {
  return std::any_of(mirrors_.begin(), mirrors_.end(), [](const Mirror& one) { return one.wrong_now > 0; });
}

absl::Status MirrorList::Verdict() const {
  if (SomeAreWrong()) return absl::DataLossError("every mirror sends bytes that do not match the signed digest");
  for (const Mirror& mirror : mirrors_) {
    if (mirrors_.size() == 1 || mirror.failed_for_good.ok()) return mirror.failed_for_good;
    return Annotate(mirror.failed_for_good, absl::StrCat("none of ", mirrors_.size(), " mirrors has it"));
  }
  return absl::NotFoundError("no source");
}

}  // namespace tandem
