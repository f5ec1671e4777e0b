// Loopback ports for servers of a test.
#ifndef TANDEM_TESTS_SUPPORT_FREE_PORT_H_
#define TANDEM_TESTS_SUPPORT_FREE_PORT_H_

namespace tandem {

// A port of 127.0.0.1 that nobody listens on now, below those that the kernel hands out by itself, so that no other
// program takes it by chance before its server does. Another one at each call.
int FreePort();

// Somebody listens there.
bool Accepts(int port);

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_FREE_PORT_H_
