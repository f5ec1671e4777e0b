// Which of several sources of the same bytes to ask next.
#ifndef TANDEM_COMMON_IMAGE_MIRROR_LIST_H_
#define TANDEM_COMMON_IMAGE_MIRROR_LIST_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace tandem {

// Mirrors are tried in the order given; one that ever sent a wrong chunk comes last. Not thread-safe.
class MirrorList {
 public:
  explicit MirrorList(std::vector<std::string> urls);

  const std::string& url(size_t mirror) const { return mirrors_[mirror].url; }

  // The one to ask now; none when each of them is out (see Verdict()).
  std::optional<size_t> Current();

  // After bytes came: the other mirrors are worth a try again.
  void Progressed();

  // A failure that may pass, a refusal too. True when every usable mirror has failed since the last progress: time to
  // wait.
  bool FailedForNow(size_t mirror);

  // It cannot be asked at all.
  void FailedForGood(size_t mirror, absl::Status why);

  // False when it failed so often in a row that another one should have the current chunk.
  bool MayGoOn(size_t mirror) const;

  // It sent the whole of the current chunk, wrongly: the last choice from then on, and after the second time out until
  // NextChunk().
  void SentWrongChunk(size_t mirror);
  void NextChunk();

  // Some are out only for the chunks that they sent.
  bool SomeAreWrong() const;

  // Why Current() has none: DATA_LOSS when any sent a wrong chunk, else what the preferred mirror said.
  absl::Status Verdict() const;

 private:
  static constexpr int kTriesPerChunk = 2;
  static constexpr int kFailuresInARow = 5;

  struct Mirror {
    std::string url;
    absl::Status failed_for_good;
    int wrong_now = 0;
    int wrong_chunks = 0;
    // Since the last progress.
    int failures = 0;
  };

  bool Usable(const Mirror& mirror) const { return mirror.failed_for_good.ok() && mirror.wrong_now < kTriesPerChunk; }

  std::vector<Mirror> mirrors_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_IMAGE_MIRROR_LIST_H_
