#include "tests/golden/golden.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/escaping.h"

namespace tandem {

std::string GoldenBytes(const std::string& name) {
  const std::string path = std::string(TANDEM_GOLDEN_FOLDER) + "/" + name;
  std::ifstream file(path);
  std::string digits;
  for (std::string line; std::getline(file, line);) {
    for (const char c : line.substr(0, line.find('#'))) {
      if (std::isxdigit(static_cast<unsigned char>(c))) {
        digits.push_back(c);
      } else if (!std::isspace(static_cast<unsigned char>(c))) {
        digits.clear();
        break;
      }
    }
  }
  if (digits.empty() || digits.size() % 2 != 0) {
    std::fprintf(stderr, "%s is not a golden file\n", path.c_str());
    std::abort();
  }
  return absl::HexStringToBytes(digits);
}

}  // namespace tandem
