#include "tools/docs/markdown.h"

#include "absl/strings/str_replace.h"

namespace tandem::docs {
namespace {

std::string Cell(const std::string& text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}, {"<", "&lt;"}, {">", "&gt;"}});
}

void PrintRow(std::ostream& out, const std::vector<std::string>& cells) {
  out << "|";
  for (const std::string& cell : cells) out << (cell.empty() ? " |" : " " + Cell(cell) + " |");
  out << "\n";
}

}  // namespace

void PrintOrigin(std::ostream& out, std::string_view source) {
  out << "<!-- Printed from " << source << ". Do not edit; run: cmake --build build --target docs -->\n\n";
}

void PrintTable(std::ostream& out, const std::vector<std::string>& header,
                const std::vector<std::vector<std::string>>& rows) {
  PrintRow(out, header);
  PrintRow(out, std::vector<std::string>(header.size(), "---"));
  for (const std::vector<std::string>& row : rows) PrintRow(out, row);
  out << "\n";
}

void PrintFenced(std::ostream& out, std::string_view language, std::string_view text) {
  out << "```" << language << "\n" << text << (text.ends_with("\n") ? "" : "\n") << "```\n\n";
}

}  // namespace tandem::docs
