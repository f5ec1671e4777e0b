#include "tools/fleetctl/units_file.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "google/protobuf/util/json_util.h"

namespace tandem::fleetctl {
namespace {

using fleet::v1::UnitRegistration;
using Units = std::vector<UnitRegistration>;

absl::Status Wrong(const std::string& name, size_t line, const std::string& text) {
  return absl::InvalidArgumentError(absl::StrCat(name, ":", line, ": ", text));
}

absl::StatusOr<Units> ParseJsonLines(const std::string& text, const std::string& name) {
  Units units;
  size_t line = 0;
  for (const absl::string_view json : absl::StrSplit(text, '\n')) {
    ++line;
    if (absl::StripAsciiWhitespace(json).empty()) continue;
    const auto status = google::protobuf::util::JsonStringToMessage(std::string(json), &units.emplace_back());
    if (!status.ok()) return Wrong(name, line, std::string(status.message().data(), status.message().size()));
  }
  return units;
}

struct CsvRow {
  size_t line = 0;
  std::vector<std::string> cells;
};

// Cells may be in quotes, with commas, line feeds and doubled quotes inside.
absl::StatusOr<std::vector<CsvRow>> ParseCsv(const std::string& text, const std::string& name) {
  std::vector<CsvRow> rows;
  size_t line = 1;
  bool in_quotes = false;
  bool begun = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!begun) {
      rows.push_back({line, {""}});
      begun = true;
    }
    std::string& cell = rows.back().cells.back();
    if (in_quotes) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        cell.push_back(text[++i]);
      } else if (c == '"') {
        in_quotes = false;
      } else {
        cell.push_back(c);
      }
    } else if (c == '"' && cell.empty()) {
      in_quotes = true;
    } else if (c == ',') {
      rows.back().cells.emplace_back();
    } else if (c == '\n') {
      begun = false;
    } else if (c != '\r') {
      cell.push_back(c);
    }
    if (c == '\n') ++line;
  }
  if (in_quotes) return Wrong(name, rows.back().line, "a quote is not closed");
  std::erase_if(rows, [](const CsvRow& row) { return row.cells.size() == 1 && row.cells[0].empty(); });
  return rows;
}

absl::Status SetColumn(UnitRegistration& unit, const std::string& column, const std::string& value) {
  if (absl::StartsWith(column, "tag.") && column.size() > 4) {
    if (!value.empty()) (*unit.mutable_tags())[column.substr(4)] = value;
    return absl::OkStatus();
  }
  const auto* field = UnitRegistration::descriptor()->FindFieldByName(column);
  if (field == nullptr || field->is_repeated()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", column,
                     "\" is no column; there are unit_id, hardware, group, customer, region, site, certificate and "
                     "tag.NAME"));
  }
  unit.GetReflection()->SetString(&unit, field, value);
  return absl::OkStatus();
}

absl::StatusOr<Units> UnitsOfCsv(const std::string& text, const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<CsvRow> rows, ParseCsv(text, name));
  Units units;
  if (rows.empty()) return units;
  const std::vector<std::string>& columns = rows[0].cells;
  for (const std::string& column : columns) {
    UnitRegistration unused;
    if (const absl::Status status = SetColumn(unused, column, ""); !status.ok()) {
      return Wrong(name, rows[0].line, std::string(status.message()));
    }
  }
  for (size_t i = 1; i < rows.size(); ++i) {
    const std::vector<std::string>& cells = rows[i].cells;
    if (cells.size() != columns.size()) {
      return Wrong(name, rows[i].line, absl::StrCat(cells.size(), " cells; the header has ", columns.size()));
    }
    UnitRegistration& unit = units.emplace_back();
    for (size_t column = 0; column < cells.size(); ++column) {
      RETURN_IF_ERROR(SetColumn(unit, columns[column], cells[column]));
    }
    if (unit.unit_id().empty()) return Wrong(name, rows[i].line, "unit_id is empty");
  }
  return units;
}

}  // namespace

absl::StatusOr<Units> ParseUnits(const std::string& text, const std::string& name) {
  const absl::string_view begin = absl::StripLeadingAsciiWhitespace(text);
  return absl::StartsWith(begin, "{") ? ParseJsonLines(text, name) : UnitsOfCsv(text, name);
}

}  // namespace tandem::fleetctl
