// The texts of GET /v1/events: what a client watches, and server-sent events (text/event-stream). Pure.
#ifndef TANDEM_FLEET_API_EVENT_STREAM_H_
#define TANDEM_FLEET_API_EVENT_STREAM_H_

#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/api/change_marks.h"

namespace tandem::fleet {

// "unit/gw-17,rollout/7": at most 20. INVALID_ARGUMENT names what is neither.
absl::StatusOr<Watched> ParseWatch(std::string_view text);

// `event: hello`, {"now":1763749200.5}: the stream is live; what was read before may be old, what is read from now on
// stays watched. The controller's time is for whoever counts down and has a clock that is wrong.
std::string HelloEvent(absl::Time now);
// `event: change`, {"changed":["fleet","unit/gw-17"]}.
std::string ChangeEvent(const std::set<std::string>& changed);
// `event: end`, {"reason":"…"}: the caller may not listen any longer.
std::string EndEvent(std::string_view reason);
// A comment: keeps proxies from closing the connection, and lets the server see that nobody is there.
std::string KeepAlive();

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_EVENT_STREAM_H_
