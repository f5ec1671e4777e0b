// Prints the reference of a configuration file from the proto that is its schema: one section per message, one row per
// key, the texts from the comments. In a comment "(required)" and "default X" have the meaning they say.
#ifndef TANDEM_TOOLS_DOCS_CONFIG_REFERENCE_H_
#define TANDEM_TOOLS_DOCS_CONFIG_REFERENCE_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/descriptor.pb.h"

namespace tandem::docs {

struct ConfigPage {
  // Full name of the message, such as "tandem.config.v1.CmConfig".
  std::string message;
  std::string title;
  // A few sentences of Markdown below the title.
  std::string introduction;
  // A whole file, shown as it is.
  std::string example;
};

// What a comment says about a key.
struct KeyText {
  std::string meaning;
  std::string default_value;
  bool required = false;
};
KeyText ReadKeyComment(const std::string& comment);

// `files` as `protoc --include_imports --include_source_info` writes it. NOT_FOUND when the message is not in it;
// INVALID_ARGUMENT when the files do not fit together.
absl::Status PrintConfigReference(const google::protobuf::FileDescriptorSet& files, const ConfigPage& page,
                                  std::ostream& out);

}  // namespace tandem::docs

#endif  // TANDEM_TOOLS_DOCS_CONFIG_REFERENCE_H_
