#include "fleet/api/openapi.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fleet/api/routes.h"
#include "google/protobuf/descriptor.h"

namespace tandem::fleet {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using Json = nlohmann::ordered_json;

constexpr char kErrorSchema[] = "Error";

Json Reference(const std::string& name) { return {{"$ref", absl::StrCat("#/components/schemas/", name)}}; }

Json Content(Json schema) { return {{"application/json", {{"schema", std::move(schema)}}}}; }

// Schemas of messages and enums, each once, in the order in which they were met.
class Schemas {
 public:
  Json Of(const Descriptor* message) {
    if (message->full_name() == "google.protobuf.Timestamp") return {{"type", "string"}, {"format", "date-time"}};
    if (message->full_name() == "google.protobuf.Duration") {
      return {{"type", "string"}, {"pattern", R"(^-?[0-9]+(\.[0-9]+)?s$)"}, {"examples", {"1800s"}}};
    }
    const std::string name = NameOf(message->full_name());
    if (known_.insert(name).second) {
      // Entered before its fields: a message may hold itself.
      all_[name] = nullptr;
      Json properties = Json::object();
      for (int i = 0; i < message->field_count(); ++i) {
        properties[message->field(i)->name()] = OfField(message->field(i));
      }
      all_[name] = {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
    }
    return Reference(name);
  }

  Json OfField(const FieldDescriptor* field) {
    if (field->is_map()) {
      return {{"type", "object"}, {"additionalProperties", OfOne(field->message_type()->FindFieldByNumber(2))}};
    }
    if (field->is_repeated()) return {{"type", "array"}, {"items", OfOne(field)}};
    return OfOne(field);
  }

  Json Take() {
    all_[kErrorSchema] = {{"type", "object"},
                          {"properties",
                           {{"error",
                             {{"type", "object"},
                              {"properties", {{"code", {{"type", "string"}}}, {"message", {{"type", "string"}}}}}}}}}};
    return std::move(all_);
  }

 private:
  // Of our API without its package: "RolloutSpec"; of others with it: "release.v1.Probe".
  static std::string NameOf(const std::string& full_name) {
    for (const std::string prefix : {"tandem.fleet.v1.", "tandem."}) {
      if (absl::StartsWith(full_name, prefix)) return full_name.substr(prefix.size());
    }
    return full_name;
  }

  Json OfOne(const FieldDescriptor* field) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Of(field->message_type());
      case FieldDescriptor::CPPTYPE_ENUM:
        return OfEnum(field->enum_type());
      case FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return {{"type", "number"}};
      case FieldDescriptor::CPPTYPE_UINT32:
        return {{"type", "integer"}, {"minimum", 0}};
      case FieldDescriptor::CPPTYPE_INT32:
        return {{"type", "integer"}};
      case FieldDescriptor::CPPTYPE_UINT64:
      case FieldDescriptor::CPPTYPE_INT64:
        // JSON numbers lose digits beyond 2^53.
        return {{"type", "string"}, {"format", "int64"}};
      case FieldDescriptor::CPPTYPE_STRING:
        break;
    }
    if (field->type() == FieldDescriptor::TYPE_BYTES) return {{"type", "string"}, {"contentEncoding", "base64"}};
    return {{"type", "string"}};
  }

  Json OfEnum(const EnumDescriptor* type) {
    const std::string name = NameOf(type->full_name());
    if (known_.insert(name).second) {
      Json values = Json::array();
      for (int i = 0; i < type->value_count(); ++i) values.push_back(type->value(i)->name());
      all_[name] = {{"type", "string"}, {"enum", std::move(values)}};
    }
    return Reference(name);
  }

  std::set<std::string> known_;
  Json all_ = Json::object();
};

// What may stand in a query: neither lists nor messages of ours.
bool FitsQuery(const FieldDescriptor* field) {
  if (field->is_repeated()) return false;
  return field->message_type() == nullptr || absl::StartsWith(field->message_type()->full_name(), "google.protobuf.");
}

Json Parameter(const FieldDescriptor* field, bool in_path, Schemas& schemas) {
  Json parameter = {{"name", field->name()}, {"in", in_path ? "path" : "query"}};
  if (in_path) parameter["required"] = true;
  parameter["schema"] = schemas.OfField(field);
  return parameter;
}

Json Body(const Descriptor* request, const std::set<std::string>& in_path, Schemas& schemas) {
  Json properties = Json::object();
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    if (!in_path.contains(field->name())) properties[field->name()] = schemas.OfField(field);
  }
  return {{"required", true},
          {"content",
           Content({{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}})}};
}

Json OperationOf(const Route& route, const MethodDescriptor* method, Schemas& schemas) {
  Json operation = {{"operationId", std::string(route.method)},
                    {"description", absl::StrCat("Role: ", std::string(RoleName(route.role)), ".")},
                    {"x-role", v1::Role_Name(route.role)}};
  const Descriptor* request = method->input_type();
  std::set<std::string> in_path;
  Json parameters = Json::array();
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    const bool path = absl::StrContains(std::string(route.path), absl::StrCat("{", field->name(), "}"));
    if (path) in_path.insert(field->name());
    if (path || (route.verb == "GET" && FitsQuery(field))) parameters.push_back(Parameter(field, path, schemas));
  }
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
  if (route.verb == "POST") operation["requestBody"] = Body(request, in_path, schemas);
  operation["responses"] = {{"200", {{"description", "OK"}, {"content", Content(schemas.Of(method->output_type()))}}},
                            {"default", {{"description", "An error"}, {"content", Content(Reference(kErrorSchema))}}}};
  return operation;
}

Json ExportOperation(Schemas& schemas) {
  return {{"operationId", "ExportAudit"},
          {"description", "The whole audit log, oldest first: one AuditEntry a line. Role: viewer."},
          {"x-role", "VIEWER"},
          {"responses",
           {{"200",
             {{"description", "OK"},
              {"content", {{"application/x-ndjson", {{"schema", schemas.Of(v1::AuditEntry::descriptor())}}}}}}}}}};
}

Json EventsOperation() {
  return {
      {"operationId", "WatchEvents"},
      {"description",
       "Server-sent events: `hello` once it is live, `change` with the names of what differs by now, `end` when the "
       "token is no longer good. Role: viewer."},
      {"x-role", "VIEWER"},
      {"parameters",
       Json::array({{{"name", "watch"},
                     {"in", "query"},
                     {"description", "Units, and rollouts that are over, to be told of, too: unit/gw-17,rollout/7"},
                     {"schema", {{"type", "string"}}}}})},
      {"responses",
       {{"200", {{"description", "OK"}, {"content", {{"text/event-stream", {{"schema", {{"type", "string"}}}}}}}}},
        {"default", {{"description", "An error"}, {"content", Content(Reference(kErrorSchema))}}}}}};
}

std::string MakeDocument() {
  Schemas schemas;
  Json paths = Json::object();
  const auto* service = v1::GetFleetRequest::descriptor()->file()->FindServiceByName("Fleet");
  for (const Route& route : Routes()) {
    const MethodDescriptor* method = service->FindMethodByName(std::string(route.method));
    paths[std::string(route.path)][absl::AsciiStrToLower(std::string(route.verb))] =
        OperationOf(route, method, schemas);
  }
  paths["/v1/audit/export"]["get"] = ExportOperation(schemas);
  paths["/v1/events"]["get"] = EventsOperation();
  Json document = {{"openapi", "3.1.0"},
                   {"info",
                    {{"title", "Tandem fleet"},
                     {"version", TANDEM_VERSION},
                     {"description",
                      "Proto3 JSON with the field names of the .proto; 64-bit numbers are texts. The same methods "
                      "are there over gRPC as tandem.fleet.v1.Fleet."}}},
                   {"security", Json::array({{{"token", Json::array()}}, {{"certificate", Json::array()}}})},
                   {"paths", std::move(paths)}};
  document["components"] = {
      {"securitySchemes",
       {{"token", {{"type", "http"}, {"scheme", "bearer"}}}, {"certificate", {{"type", "mutualTLS"}}}}},
      {"schemas", schemas.Take()}};
  return document.dump(2) + "\n";
}

}  // namespace

const std::string& OpenApiDocument() {
  static const std::string& document = *new std::string(MakeDocument());
  return document;
}

}  // namespace tandem::fleet
