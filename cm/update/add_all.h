// Adds to a list of a message.
#ifndef TANDEM_CM_UPDATE_ADD_ALL_H_
#define TANDEM_CM_UPDATE_ADD_ALL_H_

#include <vector>

namespace tandem::cm {

template <typename Repeated, typename Item>
void AddAll(const std::vector<Item>& items, Repeated* to) {
  for (const Item& item : items) *to->Add() = item;
}

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_ADD_ALL_H_
