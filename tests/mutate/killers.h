// What must notice an altered table.
#ifndef TANDEM_TESTS_MUTATE_KILLERS_H_
#define TANDEM_TESTS_MUTATE_KILLERS_H_

#include <string_view>
#include <vector>

namespace tandem::mutate {

// Cheapest first. In one process, after Apply(); true: something is wrong.
struct Killer {
  std::string_view name;
  bool (*notices)();
};
std::vector<Killer> Killers();

}  // namespace tandem::mutate

#endif  // TANDEM_TESTS_MUTATE_KILLERS_H_
