// tandemctl: what an operator at the unit sees and does.
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/create_channel.h"
#include "tandem/local/v1/local.grpc.pb.h"
#include "tools/tandemctl/render.h"

namespace tandem::ctl {
namespace {

using local::v1::LocalService;
using local::v1::UnitStatus;

constexpr char kExamples[] = R"(
Examples:
  tandemctl status                       what runs, what the unit is doing and what it waits for
  tandemctl watch                        the same, live
  tandemctl watch --until-done           ... until the running update ends; exit code 0 when it was applied
  tandemctl apply /media/usb/gw-12.tar   update from a bundle, without a cloud
  tandemctl abort --reason "wrong site"  take the running update back
  tandemctl history --json | jq .

Exit codes: 0 done, 1 failed, 2 usage.
The socket is that of tandem-cm's local_api.unix_socket; TANDEM_SOCKET sets it for all calls.)";

struct Options {
  std::string socket = "/run/tandem/cm.sock";
  bool json = false;
  std::string reason;
  std::string path;
  std::string update_id;
  uint32_t limit = 20;
  bool until_done = false;
  uint32_t timeout_seconds = 0;
};

RenderOptions Terminal() {
  RenderOptions options;
  options.color = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) options.width = size.ws_col;
  return options;
}

void PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (google::protobuf::util::MessageToJsonString(message, &json, options).ok()) std::cout << json << std::endl;
}

int Fail(const Options& options, const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    std::cerr
        << "tandemctl: no answer on " << options.socket << ": " << status.error_message()
        << "\n  is tandem-cm running? its socket is local_api.unix_socket; --socket or TANDEM_SOCKET chooses another\n";
  } else {
    std::cerr << "tandemctl: " << status.error_message() << "\n";
  }
  return 1;
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  // `watch` has a pause of its own between its tries.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // The time that one attempt gets, in spite of its name: a loaded machine or a slow link needs some.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 300);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// CM answers within 10 s, if it answers at all.
void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(15));
}

class Client {
 public:
  explicit Client(Options options)
      : options_(std::move(options)), stub_(LocalService::NewStub(Connect("unix:" + options_.socket))) {}

  int Status() {
    UnitStatus status;
    if (const grpc::Status got = Get(&status); !got.ok()) return Fail(options_, got);
    options_.json ? PrintJson(status) : static_cast<void>(std::cout << RenderStatus(status, Terminal()));
    return 0;
  }

  int Watch() {
    const auto started = std::chrono::steady_clock::now();
    const auto out_of_time = [&] {
      return options_.timeout_seconds > 0 &&
             std::chrono::steady_clock::now() - started > std::chrono::seconds(options_.timeout_seconds);
    };
    bool connected_once = false;
    for (;;) {
      grpc::ClientContext context;
      if (options_.timeout_seconds > 0) {
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(options_.timeout_seconds));
      }
      auto reader = stub_->WatchStatus(&context, {});
      UnitStatus status;
      while (reader->Read(&status)) {
        connected_once = true;
        Show(status);
        if (options_.until_done && IsDone(status)) {
          context.TryCancel();
          return status.last_update().outcome() == "applied" ? 0 : 1;
        }
        if (out_of_time()) context.TryCancel();
      }
      const grpc::Status ended = reader->Finish();
      if (out_of_time()) {
        std::cerr << "tandemctl: the update did not end within " << options_.timeout_seconds << " s\n";
        return 1;
      }
      // A unit that reboots is away for a while; one that was never there is an error.
      if (!connected_once && !options_.until_done) return Fail(options_, ended);
      ShowAway();
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
  }

  int History() {
    grpc::ClientContext context;
    SetDeadline(context);
    local::v1::ListHistoryRequest request;
    request.set_limit(options_.limit);
    local::v1::ListHistoryResponse response;
    if (const grpc::Status got = stub_->ListHistory(&context, request, &response); !got.ok())
      return Fail(options_, got);
    options_.json ? PrintJson(response)
                  : static_cast<void>(
                        std::cout << RenderHistory({response.updates().begin(), response.updates().end()}, Terminal()));
    return 0;
  }

  int Show() {
    grpc::ClientContext context;
    SetDeadline(context);
    local::v1::GetUpdateRequest request;
    request.set_update_id(options_.update_id);
    local::v1::UpdateDetail detail;
    if (const grpc::Status got = stub_->GetUpdate(&context, request, &detail); !got.ok()) return Fail(options_, got);
    options_.json ? PrintJson(detail) : static_cast<void>(std::cout << RenderDetail(detail, Terminal()));
    return 0;
  }

  int Apply() {
    local::v1::ApplyBundleRequest request;
    // CM has a working directory of its own.
    request.set_path(std::filesystem::absolute(options_.path).string());
    grpc::ClientContext context;
    SetDeadline(context);
    local::v1::CommandResponse response;
    return Answered(stub_->ApplyBundle(&context, request, &response), response);
  }

  using Method = grpc::Status (LocalService::StubInterface::*)(grpc::ClientContext*, const local::v1::CommandRequest&,
                                                               local::v1::CommandResponse*);
  int Command(Method method) {
    local::v1::CommandRequest request;
    request.set_reason(options_.reason);
    grpc::ClientContext context;
    SetDeadline(context);
    local::v1::CommandResponse response;
    return Answered((stub_.get()->*method)(&context, request, &response), response);
  }

 private:
  grpc::Status Get(UnitStatus* status) {
    grpc::ClientContext context;
    SetDeadline(context);
    return stub_->GetStatus(&context, {}, status);
  }

  int Answered(const grpc::Status& status, const local::v1::CommandResponse& response) {
    if (!status.ok()) return Fail(options_, status);
    options_.json ? PrintJson(response) : static_cast<void>(std::cout << response.message() << std::endl);
    return 0;
  }

  // An update that ran, or ended, since the first look is over now.
  bool IsDone(const UnitStatus& status) {
    if (!first_look_.has_value()) first_look_ = status.last_update().update_id();
    if (status.has_update()) seen_running_ = status.update().update_id();
    if (status.phase() == "NeedsService") return true;
    const std::string& last = status.last_update().update_id();
    return status.phase() == "Idle" && !last.empty() && (last == seen_running_ || last != *first_look_);
  }

  void Show(const UnitStatus& status) {
    if (options_.json) {
      PrintJson(status);
    } else if (isatty(STDOUT_FILENO) != 0) {
      const std::string text = RenderStatus(status, Terminal());
      // Back to the top of what was drawn last, then clear to the end.
      if (drawn_lines_ > 0) std::cout << "\x1b[" << drawn_lines_ << "A\r\x1b[J";
      ShowMissed();
      std::cout << text << std::flush;
      drawn_lines_ = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    } else {
      ShowMissed();
      for (const std::string& line : DescribeChanges(connected_status_, status)) std::cout << line << std::endl;
    }
    connected_status_ = status;
    away_ = false;
  }

  // What the update went through while CM was away, such as a trial that was over before this could look.
  void ShowMissed() {
    if (!away_ || connected_status_.update().update_id().empty()) return;
    grpc::ClientContext context;
    SetDeadline(context);
    local::v1::GetUpdateRequest request;
    request.set_update_id(connected_status_.update().update_id());
    local::v1::UpdateDetail detail;
    if (!stub_->GetUpdate(&context, request, &detail).ok()) return;
    for (const std::string& line : EventsAfter(detail, away_since_)) std::cout << "  meanwhile: " << line << std::endl;
  }

  void ShowAway() {
    if (options_.json || std::exchange(away_, true)) return;
    away_since_ = absl::Now();
    std::cout << "unit: CM is away (restart or reboot); waiting for it" << std::endl;
    if (drawn_lines_ > 0) ++drawn_lines_;
  }

  const Options options_;
  std::unique_ptr<LocalService::Stub> stub_;
  UnitStatus connected_status_;
  std::optional<std::string> first_look_;
  std::string seen_running_;
  int drawn_lines_ = 0;
  bool away_ = false;
  absl::Time away_since_;
};

int Run(int argc, char** argv) {
  CLI::App app("Shows and operates the updates of this unit, through tandem-cm.", "tandemctl");
  app.set_version_flag("--version", absl::StrCat("tandemctl ", TANDEM_VERSION));
  app.footer(kExamples);
  app.require_subcommand(1);
  app.fallthrough();
  Options options;
  if (const char* socket = std::getenv("TANDEM_SOCKET"); socket != nullptr) options.socket = socket;
  app.add_option("--socket", options.socket, "unix socket of tandem-cm")->capture_default_str();
  app.add_flag("--json", options.json, "print JSON, one object per answer");

  CLI::App* status = app.add_subcommand("status", "what runs, what the unit is doing, why, and what it waits for");
  CLI::App* watch = app.add_subcommand("watch", "the status, live");
  watch->add_flag("--until-done", options.until_done,
                  "end with the running or next update; exit 0 when it was applied");
  watch->add_option("--timeout", options.timeout_seconds, "seconds after which to give up; 0: never");
  CLI::App* history = app.add_subcommand("history", "past updates, newest first");
  history->add_option("--limit", options.limit, "how many")->capture_default_str();
  CLI::App* show = app.add_subcommand("show", "one update with its events");
  show->add_option("id", options.update_id, "id or its beginning; without: the newest");
  CLI::App* apply = app.add_subcommand("apply", "update from an offline bundle");
  apply->add_option("file", options.path, "the bundle (tandem-release bundle)")->required();
  CLI::App* approve = app.add_subcommand("approve", "let a prepared update start");
  CLI::App* abort = app.add_subcommand("abort", "take the running update back; possible until it is committed");
  CLI::App* pause = app.add_subcommand("pause", "let no update start until resume");
  CLI::App* resume = app.add_subcommand("resume", "let updates start again");
  CLI::App* leave = app.add_subcommand("leave-safe-mode", "end safe mode: what it keeps from running may start again");
  for (CLI::App* command : {approve, abort, pause, resume, leave}) {
    command->add_option("--reason", options.reason, "for the history and the cloud");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  Client client(options);
  if (*status) return client.Status();
  if (*watch) return client.Watch();
  if (*history) return client.History();
  if (*show) return client.Show();
  if (*apply) return client.Apply();
  if (*approve) return client.Command(&LocalService::StubInterface::Approve);
  if (*abort) return client.Command(&LocalService::StubInterface::Abort);
  if (*pause) return client.Command(&LocalService::StubInterface::Pause);
  if (*leave) return client.Command(&LocalService::StubInterface::LeaveSafeMode);
  return client.Command(&LocalService::StubInterface::Resume);
}

}  // namespace
}  // namespace tandem::ctl

int main(int argc, char** argv) { return tandem::ctl::Run(argc, argv); }
