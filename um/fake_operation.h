// An operation for tests of plugins: notes the progress, and is cancelled when a test says so.
#ifndef TANDEM_UM_FAKE_OPERATION_H_
#define TANDEM_UM_FAKE_OPERATION_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "um/plugin.h"

namespace tandem::um {

class FakeOperation : public Operation {
 public:
  void ReportProgress(const std::string&, uint64_t now, uint64_t total) override {
    EXPECT_LE(now, total);
    done = now;
  }
  void ReportActivity(const std::string&) override {}
  bool Cancelled() const override { return cancelled; }

  // Bytes, as reported last.
  uint64_t done = 0;
  bool cancelled = false;
};

}  // namespace tandem::um

#endif  // TANDEM_UM_FAKE_OPERATION_H_
