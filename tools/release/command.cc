#include "tools/release/command.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cm/artifacts/bundle.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::release_tool {
namespace {

// Bytes of a file that tell whether it is text.
constexpr size_t kLookedAt = 512;

absl::Status& ResultOfCommand() {
  static absl::Status& status = *new absl::Status;
  return status;
}

}  // namespace

CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& examples, std::function<absl::Status()> body) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer(examples);
  command->callback([body = std::move(body)] { ResultOfCommand() = body(); });
  return command;
}

const absl::Status& CommandStatus() { return ResultOfCommand(); }

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  if (path != "-") return FileSystem::Real().ReadFile(path, kMaxDesiredBytes);
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

absl::StatusOr<std::optional<std::string>> ReadJsonUnlessBundle(const std::string& path) {
  absl::StatusOr<std::string> text = ReadInput(path);
  // What is too large for a document can only be a bundle.
  if (absl::IsOutOfRange(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  const size_t first = text->find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  if ((*text)[first] == '{') return *std::move(text);
  const auto is_text = [](unsigned char c) { return c >= ' ' || c == '\t' || c == '\r' || c == '\n'; };
  if (!std::all_of(text->begin(), text->begin() + std::min(text->size(), kLookedAt), is_text)) return std::nullopt;
  return absl::InvalidArgumentError(
      absl::StrCat(path, " is text, but no JSON object: neither a signed document nor a bundle"));
}

absl::StatusOr<std::vector<std::string>> ReadInputs(const std::vector<std::string>& paths) {
  std::vector<std::string> contents;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(std::string content, ReadInput(path));
    contents.push_back(std::move(content));
  }
  return contents;
}

absl::Status WriteShared(const std::string& path, const std::string& text) {
  RETURN_IF_ERROR(FileSystem::Real().WriteFileAtomically(path, text));
  return FileSystem::Real().ShareWithAll(path);
}

absl::Status WriteOutput(const std::string& path, const std::string& text) {
  if (path.empty() || path == "-") {
    std::cout << text << "\n";
    return absl::OkStatus();
  }
  return WriteShared(path, text + "\n");
}

absl::StatusOr<std::vector<PrivateKey>> LoadPrivateKeys(const std::vector<std::string>& paths) {
  std::vector<PrivateKey> keys;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(PrivateKey key, LoadPrivateKey(path));
    keys.push_back(std::move(key));
  }
  return keys;
}

void AddExpiryOptions(CLI::App& command, ExpiryOptions& options, const std::string& default_in) {
  options.in = default_in;
  CLI::Option* in =
      command.add_option("--expires-in", options.in, "valid for so long, such as 30d or 12h")->capture_default_str();
  command.add_option("--expires", options.at, "valid until, such as 2027-01-31 or 2027-01-31T12:00:00Z")->excludes(in);
}

absl::StatusOr<absl::Duration> ParseDurationText(const std::string& text) {
  absl::Duration duration;
  int64_t days = 0;
  if (absl::EndsWith(text, "d") && absl::SimpleAtoi(text.substr(0, text.size() - 1), &days) && days >= 0 &&
      days < 365'000) {
    return absl::Hours(24) * days;
  }
  if (absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration()) return duration;
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a duration such as 30d, 12h or 15m"));
}

absl::StatusOr<absl::Time> ParseTimeText(const std::string& text) {
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, nullptr) || absl::ParseTime("%Y-%m-%d", text, &time, nullptr)) {
    return time;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z"));
}

absl::StatusOr<absl::Time> ExpiryTime(const ExpiryOptions& options) {
  if (!options.at.empty()) return ParseTimeText(options.at);
  ASSIGN_OR_RETURN(const absl::Duration in, ParseDurationText(options.in));
  return absl::Now() + in;
}

absl::Status CheckNotExpired(const std::string& what, absl::Time expires, absl::Time now) {
  if (expires > now) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(what, " expired at ", absl::FormatTime(expires, absl::UTCTimeZone())));
}

void SetTime(google::protobuf::Timestamp* timestamp, absl::Time time) {
  timestamp->set_seconds(absl::ToUnixSeconds(time));
}

absl::StatusOr<std::string> DigestOfEnvelope(const std::string& envelope) {
  ASSIGN_OR_RETURN(const DsseEnvelope parsed, ParseDsse(envelope));
  return Sha256(parsed.payload);
}

absl::StatusOr<std::string> DigestOfText(const std::string& hex_or_file) {
  if (hex_or_file.size() == 2 * kSha256Size) {
    const std::string digest = absl::HexStringToBytes(hex_or_file);
    if (HexEncode(digest) == hex_or_file) return digest;
  }
  ASSIGN_OR_RETURN(const std::string envelope, ReadInput(hex_or_file));
  return Annotate(DigestOfEnvelope(envelope), hex_or_file);
}

void AddDocumentOptions(CLI::App& command, DocumentOptions& options) {
  command.add_option("--from", options.from, "a bundle, or what `desired` wrote, instead of the separate files");
  command.add_option("--assignment", options.assignment, "what `assign` wrote");
  command.add_option("--release", options.releases, "what `create` wrote; once for each release");
  command.add_option("--list", options.list, "what `list` wrote");
  command.add_option("--key-set", options.key_sets, "the key sets, oldest first");
}

absl::StatusOr<DesiredEnvelopes> ReadDocuments(const DocumentOptions& options) {
  if (options.from.empty()) {
    if (options.assignment.empty() || options.releases.empty() || options.list.empty()) {
      return absl::InvalidArgumentError("give --assignment, --release and --list, or --from");
    }
    DesiredEnvelopes documents;
    ASSIGN_OR_RETURN(documents.assignment, ReadInput(options.assignment));
    ASSIGN_OR_RETURN(documents.releases, ReadInputs(options.releases));
    ASSIGN_OR_RETURN(documents.release_list, ReadInput(options.list));
    ASSIGN_OR_RETURN(documents.key_sets, ReadInputs(options.key_sets));
    return documents;
  }
  ASSIGN_OR_RETURN(std::optional<std::string> text, ReadJsonUnlessBundle(options.from));
  if (text.has_value()) {
    // A message carries the documents as its payload.
    if (absl::StatusOr<MessageEnvelope> message = DecodeMessage(*text); message.ok()) text = message->payload;
    return Annotate(ParseDesired(*text), options.from);
  }
  ASSIGN_OR_RETURN(const cm::Bundle bundle, cm::OpenBundle(options.from));
  return DocumentsOf(bundle);
}

DesiredEnvelopes DocumentsOf(const cm::Bundle& bundle) {
  return {.assignment = bundle.documents.assignment,
          .releases = bundle.documents.releases,
          .release_list = bundle.documents.release_list,
          .key_sets = bundle.documents.key_sets};
}

CLI::Validator WholeNumber(uint64_t least, uint64_t most) {
  // CLI11's own conversion takes a sign, and wraps around.
  return CLI::Validator(
      [least, most](const std::string& text) {
        uint64_t number = 0;
        const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
        if (digits && absl::SimpleAtoi(text, &number) && number >= least && number <= most) return std::string();
        return absl::StrCat("\"", text, "\" is not a whole number from ", least, " to ", most);
      },
      "", "");
}

}  // namespace tandem::release_tool
