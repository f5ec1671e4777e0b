// The OpenAPI 3.1 description of the HTTP API, from the table of routes and the messages' descriptors.
#ifndef TANDEM_FLEET_API_OPENAPI_H_
#define TANDEM_FLEET_API_OPENAPI_H_

#include <string>

namespace tandem::fleet {

// JSON; the same text for the life of the process.
const std::string& OpenApiDocument();

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_OPENAPI_H_
