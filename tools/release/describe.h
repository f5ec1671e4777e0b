// Shows signed documents to people and to programs.
#ifndef TANDEM_TOOLS_RELEASE_DESCRIBE_H_
#define TANDEM_TOOLS_RELEASE_DESCRIBE_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem::release_tool {

// An envelope as {"type", "digest", "signed_by", "document"}; bytes of the document in hex. Not verified.
absl::StatusOr<nlohmann::ordered_json> DescribeEnvelope(const std::string& envelope);

// An envelope, a bundle, a `desired` file or a message, whatever is in the file.
absl::Status ShowFile(const std::string& path, bool json);

}  // namespace tandem::release_tool

#endif  // TANDEM_TOOLS_RELEASE_DESCRIBE_H_
