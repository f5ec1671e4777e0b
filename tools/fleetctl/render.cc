#include "tools/fleetctl/render.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/fleetctl/render_rollout.h"
#include "tools/fleetctl/render_verification.h"

namespace tandem::fleetctl {
namespace {

namespace v1 = fleet::v1;

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

std::string Line(const std::string& name, const std::string& value) {
  return value.empty() ? "" : absl::StrCat(name, ": ", Clean(value), "\n");
}

// A table below what stands above it; nothing when it is empty.
std::string Below(const Table& table, const RenderOptions& options) {
  return table.empty() ? "" : absl::StrCat("\n", table.Text(options));
}

std::string PresenceOf(const v1::Unit& unit) {
  if (unit.revoked()) return "revoked";
  if (unit.stale()) return "stale";
  return unit.online() ? "online" : "offline";
}

// "r2", or "r1 -> r2" while it is on its way.
std::string PlaneOf(const v1::Unit& unit, const std::string& name) {
  const auto found = std::ranges::find(unit.planes(), name, &v1::PlaneState::plane);
  if (found == unit.planes().end()) return "";
  if (found->desired().empty() || found->desired() == found->current()) return found->current();
  return absl::StrCat(OrDash(found->current()), " -> ", found->desired());
}

std::string TagsText(const google::protobuf::Map<std::string, std::string>& tags) {
  std::vector<std::string> items;
  for (const auto& [name, value] : tags) items.push_back(absl::StrCat(name, "=", value));
  std::ranges::sort(items);
  return absl::StrJoin(items, " ");
}

std::string Size(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB"};
  int unit = 0;
  for (; bytes >= uint64_t{10} * 1024 && unit < 3; ++unit) bytes /= 1024;
  return absl::StrCat(bytes, " ", kUnits[unit]);
}

std::string StateOf(const v1::Release& release) {
  if (release.frozen()) return "frozen";
  if (!release.listed()) return "not listed";
  return release.verification().state().empty() ? "listed" : release.verification().state();
}

Table AttemptTable(const v1::UnitDetail& detail, const RenderOptions& options) {
  Table table({"ATTEMPT", "STATE", "ROLLOUT", "RING", "KIND", "TRY", "CHANGED", "REASON"});
  for (const v1::Attempt& attempt : detail.attempts()) {
    const std::string back =
        attempt.rolled_back_by() == 0 ? "" : absl::StrCat(" (taken back by attempt ", attempt.rolled_back_by(), ")");
    table.Add({absl::StrCat(attempt.id()), attempt.state(), absl::StrCat(attempt.rollout()), attempt.ring(),
               attempt.kind(), absl::StrCat(attempt.tries()), TimeText(attempt.changed_at(), options),
               attempt.reason() + back});
  }
  return table;
}

}  // namespace

std::string RoleText(v1::Role role) {
  std::string name = absl::AsciiStrToLower(v1::Role_Name(role));
  std::ranges::replace(name, '_', ' ');
  return name;
}

std::string RenderFleet(const v1::FleetOverview& fleet, const RenderOptions& options) {
  std::string text =
      absl::StrCat(Painted(absl::StrCat("fleet ", Clean(fleet.namespace_())), Paint::kBold, options), "  ",
                   fleet.units(), " units: ", fleet.online(), " online (", PercentText(fleet.online(), fleet.units()),
                   "), ", fleet.stale(), " stale, ", fleet.revoked(), " revoked\n");
  const v1::BrokerState& broker = fleet.broker();
  const std::string link =
      absl::StrCat(broker.connected() ? "connected to " : "not connected to ", Clean(broker.endpoint()),
                   broker.error().empty() ? "" : ": ", Clean(broker.error()));
  absl::StrAppend(&text, "broker: ", Painted(link, broker.connected() ? Paint::kPlain : Paint::kRed, options), "\n");
  const bool stopped = !fleet.guards().auto_rollback() || fleet.guards().streak() > 0 || fleet.storm_units() > 0;
  if (fleet.has_guards() && stopped) {
    text += RenderGuards(fleet.guards(), options);
  }
  if (fleet.held_units() > 0) absl::StrAppend(&text, "units that operators hold back: ", fleet.held_units(), "\n");
  for (const v1::Release& release : fleet.failed_releases()) {
    absl::StrAppend(&text, Painted(absl::StrCat("release ", Clean(release.release_id())), Paint::kRed, options), " ",
                    Clean(VerificationText(release.verification())), "\n");
  }
  if (fleet.unpublished() > 0) {
    absl::StrAppend(&text, "orders that wait to be published: ", fleet.unpublished(), "\n");
  }
  Table versions({"PLANE", "RELEASE", "DIGEST", "UNITS", "SHARE"});
  for (const v1::VersionShare& share : fleet.versions()) {
    // Planes of which nobody runs anything are no news.
    if (share.release_id().empty() && share.units() >= fleet.units()) continue;
    versions.Add({share.plane(), share.release_id().empty() ? "(none known)" : share.release_id(),
                  ShortDigest(share.release_digest()), absl::StrCat(share.units()),
                  PercentText(share.units(), fleet.units())});
  }
  text += Below(versions, options);
  if (fleet.active_rollouts_size() > 0) {
    v1::ListRolloutsResponse rollouts;
    *rollouts.mutable_rollouts() = fleet.active_rollouts();
    absl::StrAppend(&text, "\n", RenderRollouts(rollouts, options));
  }
  if (fleet.stops_size() > 0) {
    v1::ListStopsResponse stops;
    *stops.mutable_stops() = fleet.stops();
    absl::StrAppend(&text, "\n", RenderStops(stops, options));
  }
  return text;
}

std::string RenderUnits(const v1::ListUnitsResponse& units, const RenderOptions& options) {
  if (units.units().empty()) return "no unit fits\n";
  Table table({"UNIT", "STATE", "SEEN", "HARDWARE", "GROUP", "CUSTOMER", "REGION", "SITE", "FIRMWARE", "MODEL",
               "CONFIG", "ROLLOUT"});
  for (const v1::Unit& unit : units.units()) {
    table.Add({unit.unit_id(), PresenceOf(unit), AgoText(unit.last_seen(), options), unit.hardware(), unit.group(),
               unit.customer(), unit.region(), unit.site(), PlaneOf(unit, "firmware"), PlaneOf(unit, "model"),
               PlaneOf(unit, "config"), unit.rollout() == 0 ? "" : absl::StrCat(unit.rollout())});
  }
  return table.Text(options);
}

std::string RenderUnit(const v1::UnitDetail& detail, const RenderOptions& options) {
  const v1::Unit& unit = detail.unit();
  const std::string presence = PresenceOf(unit);
  std::string text =
      absl::StrCat(Painted(absl::StrCat("unit ", Clean(unit.unit_id())), Paint::kBold, options), "  ",
                   Painted(presence, PaintOf(presence), options), ", seen ", AgoText(unit.last_seen(), options), "\n");
  absl::StrAppend(&text, Line("hardware", unit.hardware()), Line("group", unit.group()),
                  Line("customer", unit.customer()), Line("region", unit.region()), Line("site", unit.site()));
  absl::StrAppend(&text, Line("tags", TagsText(unit.tags())), Line("certificate", unit.certificate_fingerprint()),
                  "order: ", unit.desired_sequence(), " given, ", unit.published_sequence(), " published, ",
                  unit.reported_sequence(), " accepted by the unit\n");
  if (unit.rollout() != 0) absl::StrAppend(&text, "in rollout: ", unit.rollout(), "\n");
  if (!unit.storm().empty()) {
    absl::StrAppend(&text, Painted("stopped by the loop guard", Paint::kRed, options), ": ", Clean(unit.storm()),
                    "\n  `tandem-fleetctl units hold ", Clean(unit.unit_id()),
                    " --release --reason WHY` lets it have new releases again\n");
  }
  absl::StrAppend(&text, Line("held back", unit.held()));
  Table planes({"PLANE", "RUNS", "ORDERED", "BEFORE", "VERIFIED"});
  for (const v1::PlaneState& plane : unit.planes()) {
    if (plane.current().empty() && plane.desired().empty() && plane.previous().empty()) continue;
    planes.Add(
        {plane.plane(), OrDash(plane.current()), OrDash(plane.desired()), OrDash(plane.previous()), plane.verified()});
  }
  Table components({"COMPONENT", "VERSION", "SLOT", "CONFIRMED", "TRIAL", "ERROR"});
  for (const auto& component : detail.reported().components()) {
    components.Add({component.component_id(), component.version(), component.slot_running(), component.slot_confirmed(),
                    component.slot_trial(), component.error()});
  }
  Table events({"AT", "STATE", "ORDER", "REASON"});
  for (const v1::UnitEvent& event : detail.events()) {
    events.Add({TimeText(event.at(), options), event.state(), absl::StrCat(event.sequence(), ".", event.attempt()),
                event.reason()});
  }
  return absl::StrCat(text, Below(planes, options), Below(components, options),
                      Below(AttemptTable(detail, options), options),
                      detail.runs().empty() ? "" : "\n" + RenderRuns(detail.runs(), options), Below(events, options));
}

std::string RenderReleases(const v1::ListReleasesResponse& releases, const RenderOptions& options) {
  if (releases.releases().empty()) return "no release is imported yet: tandem-fleetctl releases import FILE\n";
  Table table({"RELEASE", "STATE", "DIGEST", "PLANES", "COMPONENTS", "IMPORTED", "BY"});
  for (const v1::Release& release : releases.releases()) {
    std::vector<std::string> components;
    for (const auto& component : release.components()) {
      components.push_back(absl::StrCat(component.component_type(), " ", component.version()));
    }
    table.Add({release.release_id(), StateOf(release), ShortDigest(release.digest()),
               absl::StrJoin(release.planes(), "+"), absl::StrJoin(components, ", "),
               TimeText(release.imported_at(), options), release.imported_by()});
  }
  return table.Text(options);
}

std::string RenderRelease(const v1::Release& release, const RenderOptions& options) {
  std::string text = Painted(absl::StrCat("release ", Clean(release.release_id())), Paint::kBold, options);
  if (release.frozen()) {
    absl::StrAppend(&text, "  ", Painted("FROZEN", Paint::kRed, options), ": ", Clean(release.frozen_reason()));
  }
  if (!release.listed()) text += "  not in the release list: units refuse it";
  absl::StrAppend(&text, "\ndigest: ", release.digest(), "\nplanes: ", absl::StrJoin(release.planes(), ", "), "\n");
  if (release.rollback_target()) text += "units may go back to it, even if they never had it\n";
  for (const std::string& keyid : release.signer_keyids()) text += Line("signed by", keyid);
  for (const std::string& url : release.base_urls()) text += Line("artifacts at", url);
  absl::StrAppend(&text, "imported: ", TimeText(release.imported_at(), options), " by ", Clean(release.imported_by()),
                  "\n", Line("notes", release.notes()));
  Table table({"COMPONENT", "TYPE", "PLANE", "VERSION", "SIZE", "HARDWARE", "NEEDS", "SECURITY"});
  for (const auto& component : release.components()) {
    table.Add({OrDash(component.component_id()), component.component_type(), component.plane(), component.version(),
               Size(component.size()), absl::StrJoin(component.hardware(), ", "),
               absl::StrJoin(component.requirements(), ", "),
               component.security_version() == 0 ? "" : absl::StrCat(component.security_version())});
  }
  Table diagnostics({"DIAGNOSTIC", "CHECKS", "AFTER UPDATE", "TIME-OUT", "PLANES", "TARGET", "DESCRIPTION"});
  for (const v1::DiagnosticDefinition& diagnostic : release.diagnostics()) {
    diagnostics.Add({diagnostic.name(), diagnostic.kind(), diagnostic.run_after_ota() ? "yes" : "",
                     absl::StrCat(diagnostic.timeout_secs(), "s"), absl::StrJoin(diagnostic.planes(), "+"),
                     diagnostic.target(), diagnostic.description()});
  }
  if (const std::string verification = VerificationText(release.verification()); !verification.empty()) {
    absl::StrAppend(&text, "verification: ", Clean(verification), "\n");
  }
  text += Line("goes back", absl::StrJoin(release.rollback_order(), ", then "));
  return text + Below(table, options) + Below(diagnostics, options);
}

std::string RenderKeys(const v1::Keys& keys, const RenderOptions& options) {
  std::string text =
      absl::StrCat("key set: ", keys.key_set_version(), ", expires ", TimeText(keys.key_set_expires(), options),
                   "\nrelease list: ", keys.release_list_version(), ", ", keys.releases_listed(), " releases, expires ",
                   TimeText(keys.release_list_expires(), options));
  absl::StrAppend(&text, "\nthis controller signs with: ", keys.signing_keyid(),
                  keys.signing_key_trusted() ? "" : " (not trusted)", "\n");
  for (const std::string& warning : keys.warnings()) {
    absl::StrAppend(&text, Painted("warning", Paint::kYellow, options), ": ", Clean(warning), "\n");
  }
  Table table({"ROLE", "NEEDED", "ALGORITHM", "KEYID"});
  for (const v1::RoleKey& key : keys.keys()) {
    table.Add({key.role(), absl::StrCat(key.threshold()), key.algorithm(), key.keyid()});
  }
  return text + Below(table, options);
}

std::string RenderStops(const v1::ListStopsResponse& stops, const RenderOptions& options) {
  if (stops.stops().empty()) return "no stop is in force\n";
  Table table({"STOP", "TARGET", "SINCE", "BY", "REASON"});
  for (const v1::Stop& stop : stops.stops()) {
    table.Add({absl::StrCat(stop.id()), stop.target().empty() ? "all units" : stop.target(),
               TimeText(stop.at(), options), stop.by(), stop.reason()});
  }
  return table.Text(options);
}

std::string RenderAudit(const v1::ListAuditResponse& entries, const RenderOptions& options) {
  if (entries.entries().empty()) return "no entry\n";
  Table table({"AT", "!", "ACTOR", "EVENT", "OBJECT", "BEFORE", "AFTER"});
  for (const v1::AuditEntry& entry : entries.entries()) {
    table.Add({TimeText(entry.at(), options),
               entry.severity() >= 3   ? "!!"
               : entry.severity() == 2 ? "!"
                                       : "",
               entry.actor(), entry.event(), entry.object(), Shorten(Clean(entry.before()), 60),
               Shorten(Clean(entry.after()), 100)});
  }
  return table.Text(options);
}

std::string RenderTokens(const v1::ListTokensResponse& tokens, const RenderOptions& options) {
  if (tokens.tokens().empty()) return "no token\n";
  Table table({"TOKEN", "STATE", "NAME", "ROLE", "CREATED", "EXPIRES"});
  for (const v1::Token& token : tokens.tokens()) {
    const bool expired = absl::FromUnixSeconds(token.expires_at().seconds()) <= options.now;
    table.Add({absl::StrCat(token.id()),
               token.revoked() ? "revoked"
               : expired       ? "expired"
                               : "good",
               token.name(), RoleText(token.role()), TimeText(token.created_at(), options),
               TimeText(token.expires_at(), options)});
  }
  return table.Text(options);
}

}  // namespace tandem::fleetctl
