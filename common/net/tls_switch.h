// Gives each TLS connection of a server the certificate, key and CA of clients as the files have them now.
//
//   TlsSwitch tls(std::move(files));
//   SSL_CTX_set_client_hello_cb(context, TlsSwitch::Choose, &tls);
#ifndef TANDEM_COMMON_NET_TLS_SWITCH_H_
#define TANDEM_COMMON_NET_TLS_SWITCH_H_

#include <openssl/ssl.h>

#include <memory>
#include <mutex>

#include "common/net/tls_files.h"

namespace tandem {

// Thread-safe. Must outlive the connections.
class TlsSwitch {
 public:
  explicit TlsSwitch(std::unique_ptr<TlsFiles> files) : files_(std::move(files)) {}

  // For SSL_CTX_set_client_hello_cb(): before anything is done with a certificate.
  static int Choose(SSL* connection, int* alert, void* tls_switch);

 private:
  using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

  Context Load() const;
  // Whether clients must show a certificate stays as the server was started.
  void SetOn(SSL* connection);

  std::mutex mutex_;
  const std::unique_ptr<TlsFiles> files_;
  Context context_{nullptr, SSL_CTX_free};
  int generation_ = 0;
  bool warned_ = false;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_TLS_SWITCH_H_
