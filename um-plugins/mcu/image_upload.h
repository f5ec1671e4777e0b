// Uploads an image over SMP with as many requests in flight as the device has buffers, so that the line never waits.
//
// The device says after each piece from where it wants to go on, and that is what is sent next, whatever was lost,
// doubled or late; at 0 the image is announced again. A device that has the beginning of the same file already (it was
// reset, or this process was) tells so by its first answer.
//
//   RETURN_IF_ERROR(UploadImage(client, {.file = *file, .size = size, .sha256 = sha256, .hash = image_hash},
//                               [&](uint64_t done) { ... }));
#ifndef TANDEM_UM_PLUGINS_MCU_IMAGE_UPLOAD_H_
#define TANDEM_UM_PLUGINS_MCU_IMAGE_UPLOAD_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/storage/file_system.h"
#include "um-plugins/mcu/mcu_commands.h"
#include "um-plugins/mcu/smp_client.h"

namespace tandem::smp {

struct UploadRequest {
  File& file;
  uint64_t size = 0;
  // Of the file: by it the device knows the beginning of it again.
  std::string sha256;
  // Of the image: by it the image state shows whether the device has it, when the last answer was lost.
  std::string hash;
  // Which image of the device.
  uint32_t image = 0;
  // Read from the device when its size is 0.
  BufferParameters buffers;
  // One request at a time, as simple clients do; for comparison.
  bool one_at_a_time = false;
};

struct UploadLimits {
  // The first request may wait for a whole slot to be erased.
  absl::Duration erase_timeout = absl::Seconds(60);
  // The device answers, but nothing gets on.
  absl::Duration stall_timeout = absl::Minutes(2);
  absl::Duration total = absl::Hours(2);
  // How often the device may have forgotten everything (it was reset).
  int max_restarts = 10;
};

// `progress` gets the bytes that the device has; optional. OK: the device has all of it, and what it wrote has the
// right digest, where it can tell. DEADLINE_EXCEEDED: silent, or too slow. DATA_LOSS: it wrote something else. ABORTED:
// it starts from the beginning again and again. The errors of SmpClient::Ask().
absl::Status UploadImage(SmpClient& client, const UploadRequest& request,
                         const std::function<void(uint64_t done)>& progress = nullptr, const UploadLimits& limits = {});

// How many bytes of an image to put into one request of at most `buffer` bytes: as many of them for each byte on the
// line as possible.
size_t BestChunk(const SmpTransport& transport, size_t buffer, uint64_t image_size);

// Bytes on the line for one request with so many bytes of the image, at the end of an image of that size.
size_t UploadLineBytes(const SmpTransport& transport, size_t chunk, uint64_t image_size);

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_IMAGE_UPLOAD_H_
