#include "tests/support/fleet_api.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/log/log.h"
#include "fleet/store/sqlite_database.h"

namespace tandem::fleet {
namespace {

std::string MakeFolder() {
  std::string folder = (std::filesystem::temp_directory_path() / "fleet_api_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) std::abort();
  return folder;
}

void OkOrDie(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  OkOrDie(value.status());
  return *std::move(value);
}

}  // namespace

ApiFixture::ApiFixture(AuthenticatorOptions options)
    : folder(MakeFolder()),
      maker("acme"),
      store(ValueOrDie(Store::Open(ValueOrDie(OpenSqlite(folder))))),
      documents("acme", maker.assignment[0]),
      orders(documents, {}),
      registry(orders),
      verification(documents, {}),
      rollouts(documents, verification),
      units(documents, orders, verification),
      time(clock),
      operations({.store = *store,
                  .documents = documents,
                  .registry = registry,
                  .rollouts = rollouts,
                  .units = units,
                  .time = time,
                  .broker =
                      [] {
                        v1::BrokerState state;
                        state.set_connected(true);
                        state.set_endpoint("mqtt://test");
                        return state;
                      }}),
      authenticator(*store, time, std::move(options)) {
  // A line for each unit that is registered would hide what a test says.
  OkOrDie(InitLog({.level = "error"}));
}

ApiFixture::~ApiFixture() {
  store.reset();
  std::filesystem::remove_all(folder);
}

std::string ApiFixture::Token(const std::string& name, v1::Role role, absl::Duration lifetime) {
  std::string secret;
  OkOrDie(store->Write("token", [&](StoreTransaction& tx) {
    secret = ValueOrDie(MakeToken(tx, name, role, lifetime, "test", time.Now())).secret;
    return absl::OkStatus();
  }));
  return secret;
}

void ApiFixture::ImportReleases(const std::vector<std::string>& ids) {
  v1::ImportDocumentRequest keys;
  keys.add_envelopes(maker.KeySetEnvelope());
  OkOrDie(operations.ImportKeySets(kManager, keys).status());
  std::vector<std::string> envelopes;
  for (const std::string& id : ids) {
    envelopes.push_back(maker.MakeRelease(id, {{.id = "rootfs", .type = "rootfs", .version = "2.0.0"}}));
    v1::ImportReleaseRequest release;
    release.set_envelope(envelopes.back());
    release.add_base_urls("https://updates.example.com/");
    OkOrDie(operations.ImportRelease(kManager, release).status());
  }
  v1::ImportDocumentRequest list;
  list.add_envelopes(maker.Seal(maker.ListOf(1, envelopes)));
  OkOrDie(operations.ImportReleaseList(kManager, list).status());
}

void ApiFixture::RegisterUnits(const std::string& prefix, int count) {
  v1::RegisterUnitsRequest request;
  const auto send = [&] {
    OkOrDie(operations.RegisterUnits(kOperator, request).status());
    request.Clear();
  };
  for (int i = 0; i < count; ++i) {
    v1::UnitRegistration& unit = *request.add_units();
    unit.set_unit_id(absl::StrFormat("%s-%04d", prefix, i));
    unit.set_hardware("gw-2");
    unit.set_region(i % 2 == 0 ? "eu" : "us");
    if (request.units_size() == 1000) send();
  }
  send();
}

v1::RolloutSpec ApiFixture::Spec(const std::string& release) const {
  v1::RolloutSpec spec;
  spec.set_name("to all");
  spec.set_release(release);
  return spec;
}

std::vector<v1::AuditEntry> ApiFixture::AuditOf(const std::string& object) {
  v1::ListAuditRequest request;
  request.set_object(object);
  const v1::ListAuditResponse response = ValueOrDie(operations.ListAudit(kViewer, request));
  return {response.entries().begin(), response.entries().end()};
}

}  // namespace tandem::fleet
