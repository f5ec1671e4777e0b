// A diagnostic of an OEM: how long one inference takes, and whether the detector still finds what is in the picture.
// docs/diagnostics.md shows how a release names it.
#include <chrono>

#include "common/diagnostic/diagnostic.h"

namespace {

// Stands for the real detector.
int CountObjects(int pixels) {
  int objects = 0;
  for (int i = 1; i < pixels; ++i) objects += (i * 2654435761U) >> 30 == 3 ? 1 : 0;
  return objects;
}

}  // namespace

int main() {
  tandem::Diagnostic diagnostic;
  const double limit_ms = diagnostic.Number("limit_ms").value_or(1000);
  const int pixels = static_cast<int>(diagnostic.Number("pixels").value_or(100000));
  if (pixels < 1) return diagnostic.Error("parameter pixels must be at least 1");

  const auto start = std::chrono::steady_clock::now();
  const int objects = CountObjects(pixels);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;

  diagnostic.Log("one inference with the built-in sample");
  diagnostic.Measure("latency", took.count(), "ms");
  diagnostic.Measure("objects", objects);
  if (objects == 0) return diagnostic.Fail("the detector finds nothing in the sample");
  if (took.count() > limit_ms) return diagnostic.Fail("one inference takes too long");
  return diagnostic.Pass();
}
