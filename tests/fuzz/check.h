// What a fuzz target says when something must never happen.
#ifndef TANDEM_TESTS_FUZZ_CHECK_H_
#define TANDEM_TESTS_FUZZ_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define FUZZ_CHECK(condition)                                                      \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

#endif  // TANDEM_TESTS_FUZZ_CHECK_H_
