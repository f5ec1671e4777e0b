#include "tests/support/golden_text.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace tandem {

std::string GoldenPath(const std::string& name) { return std::string(TANDEM_GOLDEN_FOLDER) + "/" + name; }

std::string GoldenText(const std::string& name) {
  std::ifstream file(GoldenPath(name));
  if (!file) {
    std::fprintf(stderr, "no golden file %s\n", GoldenPath(name).c_str());
    std::abort();
  }
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace tandem
