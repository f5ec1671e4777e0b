#include "common/crypto/dsse.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/strict_json.h"
#include "common/status/status.h"

namespace tandem {
namespace {

// A key id is 64 hex digits here; others' may be longer, but not unbounded.
constexpr size_t kMaxKeyid = 256;

absl::StatusOr<std::string> StringMember(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("not a DSSE envelope: \"", name, "\" is missing or no string"));
  }
  return found->get_ref<const std::string&>();
}

absl::StatusOr<DsseSignature> ParseSignature(const nlohmann::json& object) {
  if (!object.is_object()) return absl::InvalidArgumentError("not a DSSE envelope: a signature is no object");
  DsseSignature result;
  if (object.contains("keyid")) {
    ASSIGN_OR_RETURN(result.keyid, StringMember(object, "keyid"));
    if (result.keyid.size() > kMaxKeyid) return absl::InvalidArgumentError("not a DSSE envelope: a keyid is too long");
  }
  ASSIGN_OR_RETURN(const std::string text, StringMember(object, "sig"));
  ASSIGN_OR_RETURN(result.signature, Annotate(DecodeBase64Strict(text), "signature"));
  return result;
}

}  // namespace

std::string DssePae(std::string_view payload_type, std::string_view payload) {
  std::string pae = absl::StrCat("DSSEv1 ", payload_type.size(), " ");
  pae.append(payload_type);
  absl::StrAppend(&pae, " ", payload.size(), " ");
  pae.append(payload);
  return pae;
}

std::string EncodeBase64(std::string_view bytes) {
  return absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

absl::StatusOr<std::string> DecodeBase64Strict(std::string_view text) {
  std::string bytes;
  // Abseil's decoder forgives white space, missing padding and stray bits; what does not encode back is not strict.
  if (!absl::Base64Unescape(absl::string_view(text.data(), text.size()), &bytes) || EncodeBase64(bytes) != text) {
    return absl::InvalidArgumentError("not base64 (standard alphabet with padding, nothing else)");
  }
  return bytes;
}

absl::StatusOr<DsseEnvelope> ParseDsse(std::string_view json, size_t limit) {
  if (json.size() > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("the envelope has ", json.size(), " bytes; at most ", limit, " are taken"));
  }
  ASSIGN_OR_RETURN(const nlohmann::json object, Annotate(ParseStrictJson(json), "not a DSSE envelope"));
  if (!object.is_object()) return absl::InvalidArgumentError("not a DSSE envelope: no JSON object");

  DsseEnvelope envelope;
  ASSIGN_OR_RETURN(envelope.payload_type, StringMember(object, "payloadType"));
  ASSIGN_OR_RETURN(const std::string payload, StringMember(object, "payload"));
  ASSIGN_OR_RETURN(envelope.payload, Annotate(DecodeBase64Strict(payload), "payload"));
  const auto signatures = object.find("signatures");
  if (signatures == object.end() || !signatures->is_array()) {
    return absl::InvalidArgumentError("not a DSSE envelope: \"signatures\" is missing or no array");
  }
  if (signatures->size() > kMaxEnvelopeSignatures) {
    return absl::InvalidArgumentError(absl::StrCat("the envelope has ", signatures->size(), " signatures; at most ",
                                                   kMaxEnvelopeSignatures, " are taken"));
  }
  for (const nlohmann::json& signature : *signatures) {
    ASSIGN_OR_RETURN(DsseSignature parsed, ParseSignature(signature));
    envelope.signatures.push_back(std::move(parsed));
  }
  return envelope;
}

std::string SerializeDsse(const DsseEnvelope& envelope) {
  nlohmann::ordered_json object;
  object["payloadType"] = envelope.payload_type;
  object["payload"] = EncodeBase64(envelope.payload);
  object["signatures"] = nlohmann::ordered_json::array();
  for (const DsseSignature& signature : envelope.signatures) {
    object["signatures"].push_back({{"keyid", signature.keyid}, {"sig", EncodeBase64(signature.signature)}});
  }
  return object.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

absl::Status SignDsse(DsseEnvelope& envelope, const PrivateKey& key) {
  ASSIGN_OR_RETURN(std::string signature, key.Sign(DssePae(envelope.payload_type, envelope.payload)));
  const std::string& keyid = key.public_key().keyid();
  std::erase_if(envelope.signatures, [&](const DsseSignature& old) { return old.keyid == keyid; });
  if (envelope.signatures.size() >= kMaxEnvelopeSignatures) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the envelope already has ", kMaxEnvelopeSignatures, " signatures"));
  }
  envelope.signatures.push_back({keyid, std::move(signature)});
  return absl::OkStatus();
}

absl::Status VerifyDsse(const DsseEnvelope& envelope, std::string_view payload_type, const std::vector<PublicKey>& keys,
                        uint32_t threshold) {
  if (envelope.payload_type != payload_type) {
    return absl::InvalidArgumentError(absl::StrCat("the envelope holds ", envelope.payload_type, ", expected ",
                                                   absl::string_view(payload_type.data(), payload_type.size())));
  }
  if (threshold == 0) return absl::PermissionDeniedError("a threshold of 0 signatures lets nothing pass");
  const std::string pae = DssePae(envelope.payload_type, envelope.payload);
  // By the key itself: a key listed twice, or one that signed twice under different keyids, counts once.
  std::set<std::string> signers;
  for (const DsseSignature& signature : envelope.signatures) {
    for (const PublicKey& key : keys) {
      if (signers.contains(key.der())) continue;
      if (key.Verify(pae, signature.signature).ok()) {
        signers.insert(key.der());
        break;
      }
    }
    if (signers.size() >= threshold) return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat("signed by ", signers.size(), " of the ", keys.size(),
                                                  " keys that may sign it, ", threshold, " needed"));
}

absl::StatusOr<std::string> OpenDsse(std::string_view json, std::string_view payload_type,
                                     const std::vector<PublicKey>& keys, uint32_t threshold) {
  ASSIGN_OR_RETURN(DsseEnvelope envelope, ParseDsse(json));
  RETURN_IF_ERROR(VerifyDsse(envelope, payload_type, keys, threshold));
  return std::move(envelope.payload);
}

}  // namespace tandem
