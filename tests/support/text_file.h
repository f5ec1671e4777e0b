// Whole files, for tests.
#ifndef TANDEM_TESTS_SUPPORT_TEXT_FILE_H_
#define TANDEM_TESTS_SUPPORT_TEXT_FILE_H_

#include <string>

namespace tandem {

// Ends the test program when it cannot be written: what follows would test something else.
void WriteText(const std::string& path, const std::string& text);

// Empty when there is no such file.
std::string ReadText(const std::string& path);

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_TEXT_FILE_H_
