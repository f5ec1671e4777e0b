#include "um-plugins/mcu/smp_errors.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "um-plugins/mcu/smp_packet.h"

namespace tandem::smp {
namespace {

using absl::StatusCode;

struct Meaning {
  uint64_t rc;
  StatusCode code;
  const char* text;
};

constexpr uint64_t kSpeaksOnlyOlder = 13;
constexpr size_t kMaxReason = 120;

// Answers by `rc`, the same in every group.
constexpr Meaning kCommon[] = {
    {1, StatusCode::kInternal, "unknown error"},
    {2, StatusCode::kUnavailable, "out of memory"},
    {3, StatusCode::kInvalidArgument, "invalid request"},
    {4, StatusCode::kInternal, "timed out on the device"},
    {5, StatusCode::kNotFound, "nothing of that name"},
    {6, StatusCode::kFailedPrecondition, "not possible in its present state, such as while an image is pending"},
    {7, StatusCode::kResourceExhausted, "too large for its buffers"},
    {8, StatusCode::kUnimplemented, "not supported"},
    {9, StatusCode::kDataLoss, "damaged data"},
    {10, StatusCode::kUnavailable, "busy"},
    {11, StatusCode::kPermissionDenied, "access denied"},
    {12, StatusCode::kUnimplemented, "it speaks only newer versions of the protocol"},
    {kSpeaksOnlyOlder, StatusCode::kUnimplemented, "it speaks only older versions of the protocol"},
};

// Answers by `err` of the image group.
constexpr Meaning kImage[] = {
    {1, StatusCode::kInternal, "unknown error"},
    {2, StatusCode::kInternal, "its flash configuration cannot be read"},
    {3, StatusCode::kNotFound, "there is no image in the slot"},
    {4, StatusCode::kNotFound, "the image has no tags"},
    {5, StatusCode::kInvalidArgument, "the image has an invalid tag"},
    {6, StatusCode::kInvalidArgument, "the image has two hashes"},
    {7, StatusCode::kInvalidArgument, "a tag of the image has a wrong size"},
    {8, StatusCode::kNotFound, "no image has that hash"},
    {9, StatusCode::kFailedPrecondition, "no slot is free"},
    {10, StatusCode::kInternal, "its flash cannot be opened"},
    {11, StatusCode::kInternal, "its flash cannot be read"},
    {12, StatusCode::kInternal, "its flash cannot be written"},
    {13, StatusCode::kInternal, "its flash cannot be erased"},
    {14, StatusCode::kInvalidArgument, "no such slot"},
    {15, StatusCode::kUnavailable, "out of memory"},
    {19, StatusCode::kInvalidArgument, "wrong offset"},
    {20, StatusCode::kInvalidArgument, "wrong offset"},
    {21, StatusCode::kInvalidArgument, "wrong length"},
    {22, StatusCode::kInvalidArgument, "the image's header is invalid"},
    {23, StatusCode::kInvalidArgument, "it is no MCUboot image"},
    {24, StatusCode::kInvalidArgument, "invalid hash"},
    {25, StatusCode::kInvalidArgument, "the image is for another address"},
    {26, StatusCode::kInternal, "the version of its image cannot be read"},
    {27, StatusCode::kFailedPrecondition, "what it runs is newer"},
    {28, StatusCode::kFailedPrecondition, "an image is pending already"},
    {29, StatusCode::kInvalidArgument, "the image's vector table is invalid"},
    {30, StatusCode::kResourceExhausted, "the image is too large for the slot"},
    {31, StatusCode::kInvalidArgument, "more data than the image has"},
    {32, StatusCode::kFailedPrecondition, "this image may not be confirmed"},
    {33, StatusCode::kFailedPrecondition, "the image that runs cannot be tested"},
    {34, StatusCode::kInternal, "it does not know which slot runs"},
};

template <size_t kSize>
const Meaning* FindMeaning(const Meaning (&meanings)[kSize], uint64_t rc) {
  const Meaning* const found =
      std::find_if(std::begin(meanings), std::end(meanings), [&](const Meaning& meaning) { return meaning.rc == rc; });
  return found == std::end(meanings) ? nullptr : found;
}

std::string GroupName(uint64_t group) {
  if (group == kSmpOsGroup) return "OS group";
  if (group == kSmpImageGroup) return "image group";
  return absl::StrCat("group ", group);
}

// What the device says of its own, for people: " (rc 24): it is signed with another key". From outside, so bounded, and
// without what would spoil a log.
std::string Reason(const nlohmann::json& body) {
  const auto found = body.find("rsn");
  if (found == body.end() || !found->is_string()) return "";
  std::string text = found->get_ref<const std::string&>().substr(0, kMaxReason);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.empty() ? "" : absl::StrCat(": ", text);
}

absl::Status Refusal(const std::string& what, const std::string& where, const Meaning* meaning, uint64_t rc,
                     const nlohmann::json& body) {
  return {meaning == nullptr ? StatusCode::kInternal : meaning->code,
          absl::StrCat("the device refused ", what, ": ", where, meaning == nullptr ? "unknown error" : meaning->text,
                       " (rc ", rc, ")", Reason(body))};
}

}  // namespace

absl::Status AnswerStatus(const nlohmann::json& body, const std::string& what) {
  if (body.contains("rc")) {
    // A device that puts something else than a number there has refused, too.
    const uint64_t number = FindNumber(body, "rc").value_or(1);
    if (number != 0) return Refusal(what, "", FindMeaning(kCommon, number), number, body);
  }
  const auto err = body.find("err");
  if (err == body.end() || !err->is_object()) return absl::OkStatus();
  const std::optional<uint64_t> rc = FindNumber(*err, "rc");
  const uint64_t group = FindNumber(*err, "group").value_or(0);
  if (!rc.has_value()) return Refusal(what, absl::StrCat(GroupName(group), ", "), nullptr, 1, body);
  if (*rc == 0) return absl::OkStatus();
  return Refusal(what, absl::StrCat(GroupName(group), ", "),
                 group == kSmpImageGroup ? FindMeaning(kImage, *rc) : FindMeaning(kCommon, *rc), *rc, body);
}

bool WantsVersion1(const nlohmann::json& body) { return FindNumber(body, "rc") == kSpeaksOnlyOlder; }

}  // namespace tandem::smp
