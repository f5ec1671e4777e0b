// A whole message from outside, made fit to be kept, sent on and shown.
#ifndef TANDEM_COMMON_TEXT_CLEAN_MESSAGE_H_
#define TANDEM_COMMON_TEXT_CLEAN_MESSAGE_H_

#include <cstddef>

#include "common/text/text.h"
#include "google/protobuf/message.h"

namespace tandem {

// CleanText() on every `string` field of `message` and of what it contains; `bytes` and map keys stay as they are.
void CleanTexts(google::protobuf::Message& message, size_t limit = kMaxTextBytes);

}  // namespace tandem

#endif  // TANDEM_COMMON_TEXT_CLEAN_MESSAGE_H_
