#include "tests/support/text_file.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

namespace tandem {

void WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return;
  std::cerr << "cannot write " << path << "\n";
  std::abort();
}

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace tandem
