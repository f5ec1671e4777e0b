// The unit's state as people, tandemctl and the cloud see it. Pure.
#ifndef TANDEM_CM_UPDATE_STATUS_VIEW_H_
#define TANDEM_CM_UPDATE_STATUS_VIEW_H_

#include <map>
#include <string>
#include <vector>

#include "cm/trust/verifier.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/machine/plan.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/ownership.h"
#include "tandem/local/v1/local.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "tandem/unit/v1/unit.pb.h"

namespace tandem::cm {

// What runs now: the INSTALLED components of a status; where a UM lists one twice, the first.
std::vector<InstalledVersion> InstalledOf(const updatemanager::v2::UpdateStatus& status);

// Do all of `targets` run their new version? By what the status lists as INSTALLED.
Runs RunningOf(const updatemanager::v2::UpdateStatus& status, const std::vector<Target>& targets);

// A PREPARED or UPDATED UM that lists what it installs, and not all of `targets` among it.
bool HasStagedOther(const updatemanager::v2::UpdateStatus& status, const std::vector<Target>& targets);
// Of its artifacts together.
uint64_t BytesDone(const updatemanager::v2::UpdateStatus& status);

UmState StateOf(const updatemanager::v2::UpdateStatus& status);
// The UM works on a command: it says so, or an IDLE one lists something INSTALLING.
bool IsInstalling(const updatemanager::v2::UpdateStatus& status);
// Of the UM or of its components, for people.
std::string ErrorOf(const updatemanager::v2::UpdateStatus& status);
// That error, or what a UM that works is doing, such as asking a mirror again that refuses.
std::string TroubleOf(const updatemanager::v2::UpdateStatus& status);

PlanUm ToPlanUm(const UmInfo& um, const Ownership& ownership);

std::vector<local::v1::UmStatus> ViewUms(const std::map<std::string, UmInfo>& ums, const UnitUpdate& update);
local::v1::UpdateSummary ViewUpdate(const UnitUpdate& update);
std::vector<unit::v1::ComponentReport> ReportComponents(const std::map<std::string, UmInfo>& ums);
std::vector<unit::v1::PlaneReport> ReportPlanes(const record::v1::CommittedRecord& committed);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_STATUS_VIEW_H_
