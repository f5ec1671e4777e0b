// Golden vectors whose format is text: keys, envelopes, messages.
#ifndef TANDEM_TESTS_SUPPORT_GOLDEN_TEXT_H_
#define TANDEM_TESTS_SUPPORT_GOLDEN_TEXT_H_

#include <string>

namespace tandem {

// tests/golden/`name` without its last newline; ends the test program when the file is missing.
std::string GoldenText(const std::string& name);
// Its path, for what reads files.
std::string GoldenPath(const std::string& name);

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_GOLDEN_TEXT_H_
