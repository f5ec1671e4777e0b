#include "tests/mutate/killers.h"

#include "gtest/gtest.h"

namespace tandem::mutate {
namespace {

// The unit tests that are linked into this program.
bool UnitTestsFail() { return RUN_ALL_TESTS() != 0; }

}  // namespace

std::vector<Killer> Killers() { return {{"unit tests", UnitTestsFail}}; }

}  // namespace tandem::mutate
