// Reads a YAML file into a protobuf message that is its schema.
//
// Unknown keys, wrong types and impossible values are refused with "file:line: what is wrong; how to mend it".
// google.protobuf.Duration is written "30s", "5m", "1h30m", Timestamp "2026-12-01T22:00:00Z"; enum values by name, in
// any case; bytes as text. A field whose leading comment in the .proto has "(required)" must be there: the caller
// checks that with Require().
#ifndef TANDEM_COMMON_CONFIG_YAML_CONFIG_H_
#define TANDEM_COMMON_CONFIG_YAML_CONFIG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"

namespace tandem {

// Where each value of a file stands, so that checks of what was read can say it, too.
//
//   ConfigLines lines;
//   RETURN_IF_ERROR(LoadYamlFile(path, config, &lines));
//   return absl::InvalidArgumentError(absl::StrCat(lines.Of("cloud.mqtt.url"), ": ..."));   // "cm.yaml:7: ..."
class ConfigLines {
 public:
  // "file:line" of a path such as "nodes[1].node_id", or of the nearest one above it that the file has; else "file".
  std::string Of(const std::string& path) const;

 private:
  friend class ConfigReader;
  std::string file_;
  std::map<std::string, int> lines_;
};

// INVALID_ARGUMENT with file and line, or for a folder; NOT_FOUND when there is no file.
absl::Status LoadYamlFile(const std::string& path, google::protobuf::Message& message, ConfigLines* lines = nullptr);

// The same from text; `name` stands for the file in messages.
absl::Status LoadYamlText(const std::string& text, const std::string& name, google::protobuf::Message& message,
                          ConfigLines* lines = nullptr);

// INVALID_ARGUMENT naming the first of `fields` (dotted paths, such as "um_server.unix_socket") that is not set.
absl::Status Require(const std::string& file, const google::protobuf::Message& message,
                     const std::vector<std::string>& fields);

// The duration of a field, or `otherwise` when it is not set.
absl::Duration DurationOr(bool is_set, const google::protobuf::Duration& value, absl::Duration otherwise);

}  // namespace tandem

#endif  // TANDEM_COMMON_CONFIG_YAML_CONFIG_H_
