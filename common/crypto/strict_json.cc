#include "common/crypto/strict_json.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

// Builds the value and checks it in the same pass: documents are large, and units read many.
class StrictReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return Take(nullptr); }
  bool boolean(bool value) override { return Take(value); }
  bool number_integer(number_integer_t value) override { return Take(value); }
  bool number_unsigned(number_unsigned_t value) override { return Take(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return Take(value); }
  bool string(string_t& value) override { return Take(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }

  bool start_object(std::size_t /*elements*/) override { return Open(nlohmann::json::object()); }
  bool key(string_t& name) override {
    const auto [member, is_new] = open_.back()->emplace(std::move(name), nullptr);
    member_ = &*member;
    if (is_new) return true;
    error_ = absl::StrCat("member \"", member.key(), "\" occurs twice");
    return false;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t /*elements*/) override { return Open(nlohmann::json::array()); }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*exception*/) override {
    error_ = absl::StrCat("not JSON at byte ", position);
    return false;
  }

  nlohmann::json TakeValue() { return std::move(value_); }
  const std::string& error() const { return error_; }

 private:
  // Where the next value belongs. A list grows only while nothing in it is open, so that the places of what is open
  // stay.
  nlohmann::json& Place() {
    if (open_.empty()) return value_;
    return open_.back()->is_array() ? open_.back()->emplace_back() : *member_;
  }
  bool Take(nlohmann::json value) {
    Place() = std::move(value);
    return true;
  }
  bool Open(nlohmann::json value) {
    if (open_.size() >= kMaxJsonDepth) {
      error_ = absl::StrCat("JSON nests deeper than ", kMaxJsonDepth);
      return false;
    }
    nlohmann::json& place = Place();
    place = std::move(value);
    open_.push_back(&place);
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  nlohmann::json value_;
  // Objects and lists around the next value, and, when the innermost is an object, the member that it is for.
  std::vector<nlohmann::json*> open_;
  nlohmann::json* member_ = nullptr;
  std::string error_;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text) {
  StrictReader reader;
  if (!nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &reader)) {
    return absl::InvalidArgumentError(reader.error().empty() ? "not JSON" : reader.error());
  }
  return reader.TakeValue();
}

}  // namespace tandem
