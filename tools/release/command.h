// What the subcommands of tandem-release share: registration, files, times.
#ifndef TANDEM_TOOLS_RELEASE_COMMAND_H_
#define TANDEM_TOOLS_RELEASE_COMMAND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/artifacts/bundle.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/keys.h"
#include "google/protobuf/timestamp.pb.h"

namespace tandem::release_tool {

// A subcommand of `parent` that runs `body`; its result becomes the program's. Options must be added to the returned
// command before parsing; whatever they fill must live as long as the program's parsing (see Own()).
CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& examples, std::function<absl::Status()> body);
// The result of the command that ran.
const absl::Status& CommandStatus();

// Options that live until the program ends.
template <typename T>
T& Own() {
  static std::vector<std::unique_ptr<T>> owned;
  owned.push_back(std::make_unique<T>());
  return *owned.back();
}

void AddKeyCommands(CLI::App& app);
void AddKeySetCommands(CLI::App& app);
void AddReleaseCommands(CLI::App& app);
void AddAssignCommand(CLI::App& app);
void AddBundleCommands(CLI::App& app);
void AddInspectCommands(CLI::App& app);
void AddDeployCommand(CLI::App& app);

// A file, or "-" for standard input; errors name it.
absl::StatusOr<std::string> ReadInput(const std::string& path);
// A signed document, a message or a `desired` file; nullopt when the file can only be a bundle. INVALID_ARGUMENT:
// neither, and what it is instead.
absl::StatusOr<std::optional<std::string>> ReadJsonUnlessBundle(const std::string& path);
absl::StatusOr<std::vector<std::string>> ReadInputs(const std::vector<std::string>& paths);
// To a file as a whole, or to standard output for "" and "-"; one newline at the end.
absl::Status WriteOutput(const std::string& path, const std::string& text);
// A file that others may read, such as a web server.
absl::Status WriteShared(const std::string& path, const std::string& text);

absl::StatusOr<std::vector<PrivateKey>> LoadPrivateKeys(const std::vector<std::string>& paths);

// When something ends: at a time (RFC 3339, or a date) or after a duration ("30d", "12h"); only one of them.
struct ExpiryOptions {
  std::string at;
  std::string in;
};
void AddExpiryOptions(CLI::App& command, ExpiryOptions& options, const std::string& default_in);
absl::StatusOr<absl::Time> ExpiryTime(const ExpiryOptions& options);
absl::StatusOr<absl::Time> ParseTimeText(const std::string& text);
absl::StatusOr<absl::Duration> ParseDurationText(const std::string& text);
// FAILED_PRECONDITION with the time when `what` is no longer in force.
absl::Status CheckNotExpired(const std::string& what, absl::Time expires, absl::Time now);
void SetTime(google::protobuf::Timestamp* timestamp, absl::Time time);

// SHA-256 of the payload of a DSSE envelope (not verified).
absl::StatusOr<std::string> DigestOfEnvelope(const std::string& envelope);
// 64 hex digits, or the envelope file of the document meant.
absl::StatusOr<std::string> DigestOfText(const std::string& hex_or_file);

// The files that make a desired state: separate ones, or a bundle or `desired` file that has them all.
struct DocumentOptions {
  std::string from;
  std::string assignment;
  std::vector<std::string> releases;
  std::string list;
  std::vector<std::string> key_sets;
};
void AddDocumentOptions(CLI::App& command, DocumentOptions& options);
absl::StatusOr<DesiredEnvelopes> ReadDocuments(const DocumentOptions& options);
DesiredEnvelopes DocumentsOf(const cm::Bundle& bundle);

// Numbers that are signed or compared by units: nothing but digits, from `least`; JSON readers everywhere must take
// them, so at most 2^53.
inline constexpr uint64_t kLargestNumber = uint64_t{1} << 53;
CLI::Validator WholeNumber(uint64_t least, uint64_t most = kLargestNumber);

}  // namespace tandem::release_tool

#endif  // TANDEM_TOOLS_RELEASE_COMMAND_H_
