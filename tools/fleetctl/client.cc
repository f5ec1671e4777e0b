#include "tools/fleetctl/client.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/net/host_port.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/create_channel.h"

namespace tandem::fleetctl {
namespace {

constexpr size_t kMaxInputBytes = 32 << 20;
constexpr int kMaxAnswerBytes = 64 << 20;

int& ExitCodeOfCommand() {
  static int code = 0;
  return code;
}

bool IsHere(const std::string& server) {
  if (absl::StartsWith(server, "unix:")) return true;
  const absl::StatusOr<HostPort> parsed = ParseHostPort(server);
  return parsed.ok() && IsLoopbackHost(parsed->host);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(const GlobalOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return absl::InvalidArgumentError("--certificate and --key belong together");
  }
  if (options.ca.empty() && options.certificate.empty() && IsHere(options.server)) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions tls;
  if (!options.ca.empty()) {
    ASSIGN_OR_RETURN(tls.pem_root_certs, ReadInput(options.ca));
  }
  if (!options.certificate.empty()) {
    ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadInput(options.certificate));
    ASSIGN_OR_RETURN(tls.pem_private_key, ReadInput(options.key));
  }
  return grpc::SslCredentials(tls);
}

// Empty: none is given, and there is none at the usual place.
absl::StatusOr<std::string> TokenOf(const GlobalOptions& options) {
  std::string path = options.token_file;
  if (path.empty()) {
    const char* home = std::getenv("HOME");
    path = absl::StrCat(home == nullptr ? "" : home, "/.config/tandem/token");
    if (!std::filesystem::exists(path)) return "";
  }
  ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
  const std::string token(absl::StripAsciiWhitespace(text));
  if (absl::StartsWith(token, "tnd_") && token.find_first_of(" \r\n\t") == std::string::npos) return token;
  return absl::InvalidArgumentError(absl::StrCat(path, " holds no token: one line that begins with tnd_"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const GlobalOptions& options) {
  ASSIGN_OR_RETURN(const auto credentials, CredentialsOf(options));
  ASSIGN_OR_RETURN(std::string token, TokenOf(options));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  auto stub = v1::Fleet::NewStub(grpc::CreateCustomChannel(options.server, credentials, arguments));
  return std::unique_ptr<Client>(new Client(options.server, std::move(token), std::move(stub)));
}

void Client::Prepare(grpc::ClientContext& context, std::chrono::seconds within) const {
  context.set_deadline(std::chrono::system_clock::now() + within);
  if (!token_.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token_));
}

absl::Status Client::ToStatus(const grpc::Status& status) const {
  std::string text = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    absl::StrAppend(&text, "\n  no answer of ", server_,
                    "; is tandem-fleet running? --server or TANDEM_FLEET_SERVER chooses another");
  } else if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
    absl::StrAppend(&text, "\n  ", token_.empty() ? "no token was sent" : "the token that was sent is not good",
                    "; --token-file or TANDEM_FLEET_TOKEN_FILE names another");
  }
  return {static_cast<absl::StatusCode>(status.error_code()), text};
}

GlobalOptions& Globals() {
  static GlobalOptions& options = *new GlobalOptions;
  return options;
}

int ExitCode() { return ExitCodeOfCommand(); }
void SetExitCode(int code) { ExitCodeOfCommand() = code; }

CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& examples, std::function<absl::Status(Client&)> body) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer(examples);
  command->callback([body = std::move(body)] {
    const absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(Globals());
    const absl::Status status = client.ok() ? body(**client) : client.status();
    if (status.ok()) return;
    std::cerr << "tandem-fleetctl: " << Clean(ToPersonText(status)) << "\n";
    SetExitCode(client.ok() ? 1 : 2);
  });
  return command;
}

CLI::App* AddGroup(CLI::App& parent, const std::string& name, const std::string& description) {
  CLI::App* group = parent.add_subcommand(name, description);
  group->require_subcommand(1);
  group->fallthrough();
  return group;
}

RenderOptions Terminal() {
  RenderOptions options{.now = absl::Now(), .zone = absl::LocalTimeZone()};
  options.color = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) options.width = size.ws_col;
  return options;
}

void PrintJson(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = !one_line;
  std::string json;
  if (google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    std::cout << json << (one_line ? "\n" : "") << std::flush;
  }
}

absl::Status Show(const google::protobuf::Message& message, const std::function<std::string()>& text) {
  Globals().json ? PrintJson(message) : static_cast<void>(std::cout << text() << std::flush);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  if (path != "-") return FileSystem::Real().ReadFile(path, kMaxInputBytes);
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

}  // namespace tandem::fleetctl
