// Completion of the command line in shells, made from the commands themselves. Pure.
#ifndef TANDEM_TOOLS_FLEETCTL_COMPLETION_H_
#define TANDEM_TOOLS_FLEETCTL_COMPLETION_H_

#include <string>

#include "CLI/CLI.hpp"

namespace tandem::fleetctl {

// Scripts to be sourced: commands, their subcommands and options; files elsewhere.
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
std::string FishCompletion(const CLI::App& app);

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_COMPLETION_H_
