#include "bootloader/mcu/smp/server.h"

namespace tandem::mcu {
namespace {

constexpr uint16_t kOsGroup = 0;
constexpr uint16_t kImageGroup = 1;
constexpr uint16_t kTandemGroup = 100;
constexpr uint8_t kMaxVersion = 1;
constexpr Answer kNotThere = {SmpStatus::kNotSupported, ImageStatus::kOk, "no such command"};

// A request of one kind: its command, and whether it reads or writes.
constexpr int Kind(uint8_t command, SmpOp op) { return command * 4 + static_cast<int>(op); }
constexpr int Read(uint8_t command) { return Kind(command, SmpOp::kRead); }
constexpr int Write(uint8_t command) { return Kind(command, SmpOp::kWrite); }

void WriteError(const SmpHeader& header, const Answer& answer, CborWriter& out) {
  if (header.version > 0 && answer.image_status != ImageStatus::kOk) {
    out.Key("err").BeginMap();
    out.Key("group").Unsigned(kImageGroup);
    out.Key("rc").Unsigned(static_cast<uint8_t>(answer.image_status));
    out.End();
  } else {
    out.Key("rc").Unsigned(static_cast<uint8_t>(answer.status));
  }
  out.Key("rsn").Text(answer.reason);
}

}  // namespace

std::span<const uint8_t> SmpServer::Handle(std::span<const uint8_t> packet) {
  SmpHeader header;
  if (!ReadHeader(packet, header)) return {};
  SmpFields fields;
  Answer answer = {SmpStatus::kInvalid, ImageStatus::kOk, "the request is not the CBOR map it should be"};
  const std::span<uint8_t> payload = buffer_.subspan(kSmpHeaderSize);
  CborWriter out(payload);
  out.BeginMap();
  if (header.version > kMaxVersion) {
    answer = {SmpStatus::kTooNew, ImageStatus::kOk, "a newer version of SMP"};
  } else if (ReadFields(packet.subspan(kSmpHeaderSize), fields)) {
    answer = Dispatch(header, fields, out);
  }
  out.End();
  if (answer.ok() && !out.ok()) answer = {SmpStatus::kTooLarge, ImageStatus::kOk, "the response is too long"};
  CborWriter error(payload);
  if (!answer.ok()) {
    error.BeginMap();
    WriteError(header, answer, error);
    error.End();
  }
  const size_t size = (answer.ok() ? out : error).bytes().size();
  header.op = header.op == SmpOp::kRead ? SmpOp::kReadResponse : SmpOp::kWriteResponse;
  header.version = header.version > kMaxVersion ? kMaxVersion : header.version;
  header.length = static_cast<uint16_t>(size);
  WriteHeader(header, buffer_);
  return buffer_.first(kSmpHeaderSize + size);
}

Answer SmpServer::Dispatch(const SmpHeader& header, const SmpFields& fields, CborWriter& out) {
  switch (header.group) {
    case kOsGroup:
      return Os(header, fields, out);
    case kImageGroup:
      return Image(header, fields, out);
    case kTandemGroup:
      return Tandem(header, fields, out);
    default:
      return {SmpStatus::kNotSupported, ImageStatus::kOk, "no such group"};
  }
}

Answer SmpServer::Os(const SmpHeader& header, const SmpFields& fields, CborWriter& out) {
  switch (Kind(header.command, header.op)) {
    case Read(0):
    case Write(0):
      out.Key("r").Text(fields.echo.value_or(""));
      return {};
    case Write(5):
      return Reset(fields);
    case Read(6):
      out.Key("buf_size").Unsigned(device_.buffer_size);
      out.Key("buf_count").Unsigned(device_.buffer_count);
      return {};
    default:
      return kNotThere;
  }
}

Answer SmpServer::Image(const SmpHeader& header, const SmpFields& fields, CborWriter& out) {
  switch (Kind(header.command, header.op)) {
    case Read(0):
      return images_.ReadState(out);
    case Write(0):
      return images_.WriteState(fields, out);
    case Write(1):
      return images_.Upload(fields, out);
    case Write(5):
      return images_.Erase(fields);
    case Read(6):
      return images_.SlotInfo(out);
    default:
      return kNotThere;
  }
}

Answer SmpServer::Tandem(const SmpHeader& header, const SmpFields& fields, CborWriter& out) {
  switch (Kind(header.command, header.op)) {
    case Read(0):
      return BootFacts(out);
    case Write(1):
      return images_.RaiseSecurityCounter(fields);
    default:
      return kNotThere;
  }
}

Answer SmpServer::Reset(const SmpFields& fields) {
  const uint32_t mode = fields.boot_mode.value_or(0);
  if (mode > 1) return {SmpStatus::kInvalid, ImageStatus::kOk, "`boot_mode` is 0, or 1 for serial recovery"};
  reset_wanted_ = true;
  recovery_wanted_ = mode == 1;
  return {};
}

Answer SmpServer::BootFacts(CborWriter& out) {
  const boot::BootRecord record = device_.records->Load().record;
  out.Key("running").Text(device_.InRecovery() ? "recovery" : SlotName(device_.running));
  out.Key("confirmed").Text(record.IsConfirmed(record.active) ? SlotName(record.active) : "none");
  out.Key("trial").Text(SlotName(record.trial));
  out.Key("attempts_left").Unsigned(record.attempts_left);
  out.Key("security_counter").Unsigned(record.security_counter);
  out.Key("reset_cause").Text(ResetCauseText(device_.reset_cause));
  out.Key("boots").Unsigned(device_.boots);
  return {};
}

}  // namespace tandem::mcu
