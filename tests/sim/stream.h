// The stream between a UM and CM: every message is really serialised and parsed, arrives a little later, in order, and
// a message that cannot be parsed ends the stream, as gRPC does.
#ifndef TANDEM_TESTS_SIM_STREAM_H_
#define TANDEM_TESTS_SIM_STREAM_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "cm/um_registry/um_registry.h"
#include "tests/sim/world.h"

namespace tandem::sim {

class Stream : public cm::UmStream, public std::enable_shared_from_this<Stream> {
 public:
  struct Ends {
    std::function<void(const updatemanager::v2::CMMessages& message)> um_receives;
    std::function<void()> um_loses;
    std::function<void(const std::shared_ptr<Stream>& stream, const updatemanager::v2::UpdateStatus& status)>
        cm_receives;
    std::function<void(const std::shared_ptr<Stream>& stream)> cm_loses;
    // CM hands a command over, before anything is known of its arrival. False: CM has just ended.
    std::function<bool(const updatemanager::v2::CMMessages& message)> cm_sends;
  };

  Stream(World& world, Ends ends) : world_(world), ends_(std::move(ends)) {}

  void SendStatus(const updatemanager::v2::UpdateStatus& status) {
    Later([bytes = status.SerializeAsString()](Stream& stream) {
      updatemanager::v2::UpdateStatus parsed;
      if (!parsed.ParseFromString(bytes)) {
        stream.world_.Tell("CM cannot read a status");
        return stream.Break();
      }
      stream.ends_.cm_receives(stream.shared_from_this(), parsed);
    });
  }

  void Send(const updatemanager::v2::CMMessages& message) override {
    if (!open_ || !ends_.cm_sends(message)) return;
    Later([bytes = message.SerializeAsString()](Stream& stream) {
      updatemanager::v2::CMMessages parsed;
      if (!parsed.ParseFromString(bytes)) return stream.Break();
      stream.ends_.um_receives(parsed);
    });
  }
  void Close(const absl::Status&) override {
    Later([](Stream& stream) { stream.Break(); });
  }

  bool open() const { return open_; }

  // The connection is gone; both ends notice by and by.
  void Break() {
    if (!std::exchange(open_, false)) return;
    const std::shared_ptr<Stream> self = shared_from_this();
    world_.After(world_.Between(absl::Milliseconds(1), absl::Milliseconds(300)), [self] { self->ends_.um_loses(); });
    world_.After(world_.Between(absl::Milliseconds(1), absl::Milliseconds(300)),
                 [self] { self->ends_.cm_loses(self); });
  }

 private:
  template <typename Then>
  void Later(Then then) {
    arrival_ = std::max(arrival_, world_.now() + world_.Between(absl::Milliseconds(1), absl::Milliseconds(60)));
    world_.After(arrival_ - world_.now(), [self = shared_from_this(), then = std::move(then)] {
      if (self->open_) then(*self);
    });
  }

  World& world_;
  const Ends ends_;
  bool open_ = true;
  absl::Duration arrival_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_STREAM_H_
