// The exact bytes of each persisted or wire format, kept as text so that a change shows in a review.
//
// A golden file holds hex digits, white space and comments from '#' to the end of the line; the comments say what the
// bytes mean.
#ifndef TANDEM_TESTS_GOLDEN_GOLDEN_H_
#define TANDEM_TESTS_GOLDEN_GOLDEN_H_

#include <string>

namespace tandem {

// The bytes of tests/golden/`name`; ends the test program when the file is missing or is not hex.
std::string GoldenBytes(const std::string& name);

}  // namespace tandem

#endif  // TANDEM_TESTS_GOLDEN_GOLDEN_H_
