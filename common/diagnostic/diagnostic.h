// Writes a diagnostic of your own: a program that a signed release names, and that CM runs in a sandbox after an update
// (docs/diagnostics.md). This file is all there is; it needs nothing but the standard library.
//
//   int main() {
//     tandem::Diagnostic diagnostic;
//     const double limit = diagnostic.Number("limit_ms").value_or(50);     // parameters: {limit_ms: "40"}
//     const double took = RunOneInference();
//     diagnostic.Measure("latency", took, "ms");
//     if (took > limit) return diagnostic.Fail("inference takes too long");
//     return diagnostic.Pass();
//   }
//
// The same without C++: lines "measure NAME VALUE [UNIT]" and "reason TEXT" on standard output, and an exit code: 0
// passed, 1 failed, anything else: it could not be checked. All other output is the log that an operator reads.
#ifndef TANDEM_COMMON_DIAGNOSTIC_DIAGNOSTIC_H_
#define TANDEM_COMMON_DIAGNOSTIC_DIAGNOSTIC_H_

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <locale>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>

namespace tandem {

// Not thread-safe. Every line is flushed as it is written, so that a program that is ended in time has said it.
class Diagnostic {
 public:
  static constexpr int kPassed = 0;
  static constexpr int kFailed = 1;
  static constexpr int kError = 2;

  explicit Diagnostic(std::ostream& output = std::cout) : output_(output) {}

  // A parameter of the release's definition; nullopt when it is not set.
  std::optional<std::string> Parameter(const std::string& name) const {
    std::string variable = "TANDEM_";
    for (const char c : name) variable.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    const char* value = std::getenv(variable.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  }
  // The same as a number; nullopt when it is none, too.
  std::optional<double> Number(const std::string& name) const {
    const std::optional<std::string> text = Parameter(name);
    if (!text.has_value() || text->empty()) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(text->c_str(), &end);
    return *end == '\0' && std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
  }

  // A number for the result. The release may have a threshold for it, by this name.
  void Measure(const std::string& name, double value, const std::string& unit = "") {
    if (!std::isfinite(value)) return;
    std::ostringstream number;
    number.imbue(std::locale::classic());
    number.precision(9);
    number << value;
    output_ << "measure " << Word(name) << ' ' << number.str() << (unit.empty() ? "" : " ") << Word(unit) << std::endl;
  }
  // For the log excerpt.
  void Log(const std::string& text) { output_ << text << std::endl; }

  // What main() returns.
  int Pass(const std::string& reason = "") { return End(kPassed, reason); }
  int Fail(const std::string& reason) { return End(kFailed, reason); }
  // It could not be checked: that says nothing of the unit, but verifies nothing either.
  int Error(const std::string& reason) { return End(kError, reason); }

 private:
  static std::string Word(std::string text) {
    for (char& c : text) {
      if (std::isspace(static_cast<unsigned char>(c))) c = '_';
    }
    return text;
  }
  int End(int code, std::string reason) {
    for (char& c : reason) {
      if (c == '\n' || c == '\r') c = ' ';
    }
    if (!reason.empty()) output_ << "reason " << reason << std::endl;
    return code;
  }

  std::ostream& output_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_DIAGNOSTIC_DIAGNOSTIC_H_
