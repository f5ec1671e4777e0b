// Everything below the fleet's API for one test: the real store on SQLite in a folder of its own, real documents, and a
// clock that stands still.
#ifndef TANDEM_TESTS_SUPPORT_FLEET_API_H_
#define TANDEM_TESTS_SUPPORT_FLEET_API_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/time/clock.h"
#include "fleet/api/authenticator.h"
#include "fleet/api/operations.h"
#include "fleet/api/tokens.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/fleet_time.h"
#include "fleet/controller/orders.h"
#include "fleet/controller/registry.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/controller/unit_operations.h"
#include "fleet/controller/verification.h"
#include "fleet/store/store.h"
#include "tests/support/test_documents.h"

namespace tandem::fleet {

inline const Caller kViewer{"token:vera", v1::VIEWER};
inline const Caller kOperator{"token:otto", v1::OPERATOR};
inline const Caller kManager{"token:rita", v1::RELEASE_MANAGER};

// Ends the test program when it cannot be made.
class ApiFixture {
 public:
  explicit ApiFixture(AuthenticatorOptions options = {});
  ~ApiFixture();
  ApiFixture(const ApiFixture&) = delete;
  ApiFixture& operator=(const ApiFixture&) = delete;

  // "tnd_…"
  std::string Token(const std::string& name, v1::Role role, absl::Duration lifetime = absl::Hours(24));
  // Key set, release list and one release of each id.
  void ImportReleases(const std::vector<std::string>& ids);
  // "prefix-0000", …, half of them in region "eu".
  void RegisterUnits(const std::string& prefix, int count);
  v1::RolloutSpec Spec(const std::string& release) const;
  // Of one object; newest first.
  std::vector<v1::AuditEntry> AuditOf(const std::string& object);

  const std::string folder;
  FakeClock clock;
  TestMaker maker;
  std::unique_ptr<Store> store;
  Documents documents;
  Orders orders;
  Registry registry;
  Verification verification;
  RolloutOperations rollouts;
  UnitOperations units;
  FleetTime time;
  Operations operations;
  Authenticator authenticator;
};

}  // namespace tandem::fleet

#endif  // TANDEM_TESTS_SUPPORT_FLEET_API_H_
