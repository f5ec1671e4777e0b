// Status with context: each layer adds what it was doing, so that the whole line can be shown to a person in the cloud:
// "prepare rootfs: write slot B at 4096: no space left on device".
//
//   RETURN_IF_ERROR(file->Sync()) ;
//   ASSIGN_OR_RETURN(std::string bytes, fs.ReadFile(path));
//   return Annotate(status, absl::StrCat("write slot ", name));
#ifndef TANDEM_COMMON_STATUS_STATUS_H_
#define TANDEM_COMMON_STATUS_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// `status` with "context: " before its message; an OK status stays OK. Code and payloads are kept.
absl::Status Annotate(const absl::Status& status, std::string_view context);

template <typename T>
absl::StatusOr<T> Annotate(absl::StatusOr<T> result, std::string_view context) {
  if (result.ok()) return result;
  return Annotate(result.status(), context);
}

// The status of a failed system call: errno's canonical code and text after `context`.
absl::Status ErrnoStatus(int error_number, std::string_view context);

// True for errors that may pass when the same thing is tried again later (network down, server busy, time-out), false
// for those that will not (not found, corrupt, refused, no space).
bool IsTransient(const absl::Status& status);

// Something of this machine failed, such as a full disk: it says nothing about what was asked for, which is tried again
// later and is never refused because of it. OK stays OK; the mark stays when context is added.
absl::Status MarkLocal(absl::Status status);
bool IsLocal(const absl::Status& status);

// "message", or "CODE: message" when the message alone would be empty.
std::string ToPersonText(const absl::Status& status);

}  // namespace tandem

#define TANDEM_STATUS_CONCAT_INNER(a, b) a##b
#define TANDEM_STATUS_CONCAT(a, b) TANDEM_STATUS_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                                         \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define ASSIGN_OR_RETURN(declaration, expression) \
  ASSIGN_OR_RETURN_IMPL(TANDEM_STATUS_CONCAT(result_, __LINE__), declaration, expression)
#define ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                  \
  if (!result.ok()) return result.status();                    \
  declaration = *std::move(result)

#endif  // TANDEM_COMMON_STATUS_STATUS_H_
