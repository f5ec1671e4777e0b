#include "common/crypto/strict_json.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

constexpr size_t kMaxDepth = 64;

// Checks the text without building anything; the second pass builds what passed.
class StrictChecker : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return false; }

  bool start_object(std::size_t /*elements*/) override {
    members_.emplace_back();
    return CheckDepth();
  }
  bool key(string_t& name) override {
    if (members_.back().insert(name).second) return true;
    error_ = absl::StrCat("member \"", name, "\" occurs twice");
    return false;
  }
  bool end_object() override {
    members_.pop_back();
    return true;
  }
  bool start_array(std::size_t /*elements*/) override {
    members_.emplace_back();
    return CheckDepth();
  }
  bool end_array() override {
    members_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*exception*/) override {
    error_ = absl::StrCat("not JSON at byte ", position);
    return false;
  }

  const std::string& error() const { return error_; }

 private:
  bool CheckDepth() {
    if (members_.size() <= kMaxDepth) return true;
    error_ = absl::StrCat("JSON nests deeper than ", kMaxDepth);
    return false;
  }

  std::vector<std::set<std::string>> members_;
  std::string error_;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text) {
  StrictChecker checker;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &checker)) {
    return absl::InvalidArgumentError(checker.error().empty() ? "not JSON" : checker.error());
  }
  nlohmann::json value = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return absl::InvalidArgumentError("not JSON");
  return value;
}

}  // namespace tandem
