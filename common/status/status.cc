#include "common/status/status.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

constexpr char kLocalMark[] = "tandem/local";

}  // namespace

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(),
                         absl::StrCat(absl::string_view(context.data(), context.size()), ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view type, const absl::Cord& payload) { annotated.SetPayload(type, payload); });
  return annotated;
}

absl::Status ErrnoStatus(int error_number, std::string_view context) {
  return absl::ErrnoToStatus(error_number, absl::string_view(context.data(), context.size()));
}

bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return true;
    default:
      return false;
  }
}

absl::Status MarkLocal(absl::Status status) {
  if (!status.ok()) status.SetPayload(kLocalMark, absl::Cord());
  return status;
}

bool IsLocal(const absl::Status& status) { return status.GetPayload(kLocalMark).has_value(); }

std::string ToPersonText(const absl::Status& status) {
  if (!status.message().empty()) return std::string(status.message());
  return absl::StatusCodeToString(status.code());
}

}  // namespace tandem
