// How tandem-fleetctl reaches a controller, and what its commands share.
#ifndef TANDEM_TOOLS_FLEETCTL_CLIENT_H_
#define TANDEM_TOOLS_FLEETCTL_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "tandem/fleet/v1/fleet.grpc.pb.h"
#include "tools/fleetctl/table.h"

namespace tandem::fleetctl {

namespace v1 = fleet::v1;

struct GlobalOptions {
  std::string server = "localhost:7443";
  std::string token_file;
  std::string ca;
  std::string certificate;
  std::string key;
  bool json = false;
};

template <typename Request, typename Response>
using Rpc = grpc::Status (v1::Fleet::StubInterface::*)(grpc::ClientContext*, const Request&, Response*);

// One controller. Tokens go over TLS, or stay on this computer.
class Client {
 public:
  // INVALID_ARGUMENT: files that cannot be used.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const GlobalOptions& options);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Rpc<Request, Response> rpc, const Request& request,
                                std::chrono::seconds within = std::chrono::seconds(60)) {
    grpc::ClientContext context;
    Prepare(context, within);
    Response response;
    const grpc::Status status = (stub_.get()->*rpc)(&context, request, &response);
    if (!status.ok()) return ToStatus(status);
    return response;
  }

 private:
  Client(std::string server, std::string token, std::unique_ptr<v1::Fleet::Stub> stub)
      : server_(std::move(server)), token_(std::move(token)), stub_(std::move(stub)) {}
  void Prepare(grpc::ClientContext& context, std::chrono::seconds within) const;
  // With what mends it.
  absl::Status ToStatus(const grpc::Status& status) const;

  const std::string server_;
  const std::string token_;
  const std::unique_ptr<v1::Fleet::Stub> stub_;
};

// --- commands ---

GlobalOptions& Globals();
// A subcommand that runs `body`; its result becomes the program's.
CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& description,
                     const std::string& examples, std::function<absl::Status(Client&)> body);
// A subcommand that has subcommands.
CLI::App* AddGroup(CLI::App& parent, const std::string& name, const std::string& description);
// What the command that ran says its program should end with.
int ExitCode();
void SetExitCode(int code);

// Options that live until the program ends.
template <typename T>
T& Own() {
  static std::vector<std::unique_ptr<T>> owned;
  owned.push_back(std::make_unique<T>());
  return *owned.back();
}

// Colours and width of this terminal, the time now.
RenderOptions Terminal();
// One document: proto3 JSON with the names of the .proto.
void PrintJson(const google::protobuf::Message& message, bool one_line = false);
// With --json the message, else the text.
absl::Status Show(const google::protobuf::Message& message, const std::function<std::string()>& text);

// A file, or "-" for standard input; errors name it.
absl::StatusOr<std::string> ReadInput(const std::string& path);

void AddFleetCommands(CLI::App& app);
// Its group of commands.
CLI::App& AddUnitCommands(CLI::App& app);
void AddVerificationCommands(CLI::App& app, CLI::App& units);
void AddReleaseCommands(CLI::App& app);
void AddRolloutCommands(CLI::App& app);
void AddAccessCommands(CLI::App& app);
void AddCompletionCommand(CLI::App& app);

// `rollout watch`: until the rollout is over. Exit code 0 when it is complete, else 1.
absl::Status WatchRollout(Client& client, uint64_t id);
// The attempts that the tree names: failed ones, what goes back, and some that are at it.
absl::StatusOr<std::vector<v1::Attempt>> NamedAttempts(Client& client, const v1::Rollout& rollout);

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_CLIENT_H_
