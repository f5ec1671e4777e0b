// Every message that is kept on disk or crosses a process, held against schema.txt: a computer's old and new software
// read each other's records, and units, clouds and UMs of different versions talk. So a field is never removed,
// renumbered or retyped; a new one is added here and there.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tandem/local/v1/local.pb.h"
#include "tandem/record/v1/artifact_server.pb.h"
#include "tandem/record/v1/record.pb.h"
#include "tandem/release/v1/release.pb.h"
#include "tandem/unit/v1/unit.pb.h"
#include "updatemanager/v2/updatemanager.pb.h"

namespace tandem {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

void AddEnum(const EnumDescriptor& type, std::set<std::string>& lines) {
  for (int i = 0; i < type.value_count(); ++i) {
    lines.insert(absl::StrCat(type.full_name(), " = ", type.value(i)->number(), " ", type.value(i)->name()));
  }
}

std::string TypeOf(const FieldDescriptor& field) {
  std::string type = field.type_name();
  if (field.message_type() != nullptr) type = field.message_type()->full_name();
  if (field.enum_type() != nullptr) type = field.enum_type()->full_name();
  return absl::StrCat(field.is_repeated() ? "repeated " : "", type);
}

void AddMessage(const Descriptor& type, std::set<std::string>& lines) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    lines.insert(absl::StrCat(type.full_name(), " = ", field.number(), " ", field.name(), " ", TypeOf(field)));
  }
  for (int i = 0; i < type.nested_type_count(); ++i) AddMessage(*type.nested_type(i), lines);
  for (int i = 0; i < type.enum_type_count(); ++i) AddEnum(*type.enum_type(i), lines);
}

void AddFile(const FileDescriptor& file, std::set<std::string>& lines) {
  for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i), lines);
  for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i), lines);
}

TEST(Schema, NothingThatIsKeptOrSentChangesItsMeaning) {
  std::set<std::string> now;
  for (const FileDescriptor* file :
       {updatemanager::v2::UpdateStatus::descriptor()->file(), common::v1::ErrorInfo::descriptor()->file(),
        release::v1::Release::descriptor()->file(), release::v1::Diagnostic::descriptor()->file(),
        release::v1::Probe::descriptor()->file(), release::v1::Plane_descriptor()->file(),
        unit::v1::Feedback::descriptor()->file(), record::v1::UnitUpdateRecord::descriptor()->file(),
        record::v1::ArtifactServerRecord::descriptor()->file(), local::v1::UnitStatus::descriptor()->file()}) {
    AddFile(*file, now);
  }
  std::set<std::string> golden;
  std::ifstream text(TANDEM_SCHEMA_FILE);
  for (std::string line; std::getline(text, line);) golden.insert(line);
  EXPECT_GT(golden.size(), 100u) << TANDEM_SCHEMA_FILE;
  for (const std::string& line : golden) {
    EXPECT_TRUE(now.contains(line)) << "what others wrote can no longer be read: " << line;
  }
  for (const std::string& line : now) EXPECT_TRUE(golden.contains(line)) << "new; add it to schema.txt:\n" << line;
}

}  // namespace
}  // namespace tandem
