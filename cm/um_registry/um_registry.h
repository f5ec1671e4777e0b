// The UMs that may register, and those that have: who is there, what each last said, and a way to send it commands.
#ifndef TANDEM_CM_UM_REGISTRY_UM_REGISTRY_H_
#define TANDEM_CM_UM_REGISTRY_UM_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tandem/config/v1/cm.pb.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem::cm {

// One RegisterUM stream as the registry sees it.
class UmStream {
 public:
  virtual ~UmStream() = default;
  // Queues a command; never blocks. Ignored when the stream has ended.
  virtual void Send(const updatemanager::v2::CMMessages& message) = 0;
  // Ends the stream with `status`.
  virtual void Close(const absl::Status& status) = 0;
};

// Who is at the other end of a stream.
struct UmPeer {
  // Came over the unix socket: this computer, and whoever may open the socket.
  bool local = false;
  // Names in its certificate, for TCP.
  std::vector<std::string> names;
  // For messages.
  std::string address;
};

struct UmInfo {
  config::v1::Node node;
  bool connected = false;
  // Has reported since CM started.
  bool seen = false;
  updatemanager::v2::UpdateStatus last;
};

// Owned by the event thread. Here the texts of UMs enter: what it hands on is valid, on one line, and cut.
class UmRegistry {
 public:
  struct Callbacks {
    // `registered`: the first status of a stream.
    std::function<void(const UmInfo& um, bool registered)> status;
    std::function<void(const UmInfo& um)> lost;
    // A registration was refused, for the log and the cloud.
    std::function<void(const std::string& node_id, const absl::Status& why)> refused;
  };

  explicit UmRegistry(const std::vector<config::v1::Node>& nodes);

  void SetCallbacks(Callbacks callbacks) { callbacks_ = std::move(callbacks); }

  // The first status of a stream. PERMISSION_DENIED: the node is not configured, not on the computer it should be, or
  // its certificate does not carry its node_id. ALREADY_EXISTS: another live stream has this node_id. The caller closes
  // the stream with that status.
  absl::Status Register(const std::shared_ptr<UmStream>& stream, const UmPeer& peer,
                        updatemanager::v2::UpdateStatus status);
  // A later status of a registered stream. One that names another node ends the stream.
  void Status(const std::shared_ptr<UmStream>& stream, updatemanager::v2::UpdateStatus status);
  void Closed(const std::shared_ptr<UmStream>& stream);

  // NOT_FOUND when the UM has no stream.
  absl::Status Send(const std::string& node_id, const updatemanager::v2::CMMessages& message);

  // By node_id.
  const std::map<std::string, UmInfo>& ums() const { return ums_; }
  bool AllSeen() const;

 private:
  absl::Status Admit(const UmPeer& peer, const std::string& node_id) const;

  std::map<std::string, UmInfo> ums_;
  std::map<std::string, std::shared_ptr<UmStream>> streams_;
  Callbacks callbacks_;
};

// The computer that CM runs on.
inline constexpr char kMainComputer[] = "main";

}  // namespace tandem::cm

#endif  // TANDEM_CM_UM_REGISTRY_UM_REGISTRY_H_
