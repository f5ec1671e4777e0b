// Reads PrepareUpdate: what to install, from where, and whether the signed documents cover it.
//
// CM puts the signed documents under the key "tandem" of a component's annotations:
//   {"tandem": {"assignment": <DSSE>, "releases": [<DSSE>], "key_sets": [<DSSE>...], "mirrors": [url...],
//               "headers": ["Name: value"...]}}
// With a key set of its own a UM refuses whatever they do not cover, so that a broken-into CM cannot feed it. A
// component without a url is asked for by its version only: the artifact then has neither sources nor digest.
#ifndef TANDEM_UM_PREPARE_REQUEST_H_
#define TANDEM_UM_PREPARE_REQUEST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/time/clock.h"
#include "um/plugin.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem::um {

struct PrepareTrust {
  // DSSE envelope of the first key set; empty: signatures are not checked here (CM has checked them).
  std::string key_set;
  std::string name_space;
  std::string unit_id;
};

// INVALID_ARGUMENT: a component is incomplete or its annotations are not JSON. PERMISSION_DENIED: not covered by the
// signed documents.
absl::StatusOr<std::vector<Artifact>> ReadPrepare(const updatemanager::v2::PrepareUpdate& command,
                                                  const PrepareTrust& trust, Clock& clock);

}  // namespace tandem::um

#endif  // TANDEM_UM_PREPARE_REQUEST_H_
