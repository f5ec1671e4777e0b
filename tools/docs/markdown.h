// Text that is safe inside a Markdown table.
#ifndef TANDEM_TOOLS_DOCS_MARKDOWN_H_
#define TANDEM_TOOLS_DOCS_MARKDOWN_H_

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::docs {

// The line that says where a printed page comes from, and how to print it again.
void PrintOrigin(std::ostream& out, std::string_view source);

// A table with a header; every cell on one line, `|` escaped. A column that is empty in every row stays.
void PrintTable(std::ostream& out, const std::vector<std::string>& header,
                const std::vector<std::vector<std::string>>& rows);

// The file as a fenced block of `language`.
void PrintFenced(std::ostream& out, std::string_view language, std::string_view text);

}  // namespace tandem::docs

#endif  // TANDEM_TOOLS_DOCS_MARKDOWN_H_
