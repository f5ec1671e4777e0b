#include "common/net/tls_switch.h"

#include <openssl/err.h>

#include <string>

#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem {

int TlsSwitch::Choose(SSL* connection, int* /*alert*/, void* tls_switch) {
  static_cast<TlsSwitch*>(tls_switch)->SetOn(connection);
  return SSL_CLIENT_HELLO_SUCCESS;
}

TlsSwitch::Context TlsSwitch::Load() const {
  Context context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  const std::string ca = files_->ca_path();
  const bool good = context != nullptr &&
                    SSL_CTX_use_certificate_chain_file(context.get(), files_->certificate_path().c_str()) == 1 &&
                    SSL_CTX_use_PrivateKey_file(context.get(), files_->key_path().c_str(), SSL_FILETYPE_PEM) == 1 &&
                    (ca.empty() || SSL_CTX_load_verify_locations(context.get(), ca.c_str(), nullptr) == 1);
  // Else the connection would take what is left over for an error of its own.
  ERR_clear_error();
  if (!good) context.reset();
  return context;
}

void TlsSwitch::SetOn(SSL* connection) {
  std::lock_guard lock(mutex_);
  const absl::Status status = files_->Reload();
  if (!status.ok() && !warned_) {
    LogWarning("TLS files changed, but cannot be used; the last good ones stay", {{"error", ToPersonText(status)}});
  }
  warned_ = !status.ok();
  if (generation_ != files_->generation()) {
    if (Context fresh = Load(); fresh != nullptr) context_ = std::move(fresh);
    generation_ = files_->generation();
  }
  // A connection keeps what it was given.
  if (context_ != nullptr) SSL_set_SSL_CTX(connection, context_.get());
}

}  // namespace tandem
