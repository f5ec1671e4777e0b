#include "tools/fleetctl/completion.h"

#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tools/fleetctl/client.h"

namespace tandem::fleetctl {
namespace {

// One command: "units list", what may follow it.
struct Node {
  std::string path;
  std::string description;
  std::vector<const CLI::App*> commands;
  std::vector<std::string> options;
};

void Walk(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  Node node{.path = path, .description = app.get_description()};
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    node.commands.push_back(command);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) node.options.push_back(absl::StrCat("--", name));
  }
  nodes.push_back(node);
  for (const CLI::App* command : node.commands) {
    Walk(*command, path.empty() ? command->get_name() : absl::StrCat(path, " ", command->get_name()), nodes);
  }
}

std::vector<Node> NodesOf(const CLI::App& app) {
  std::vector<Node> nodes;
  Walk(app, "", nodes);
  return nodes;
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  const std::vector<Node> nodes = NodesOf(app);
  std::string cases;
  std::string known;
  for (const Node& node : nodes) {
    std::vector<std::string> words;
    for (const CLI::App* command : node.commands) words.push_back(command->get_name());
    words.insert(words.end(), node.options.begin(), node.options.end());
    // Global options are taken anywhere.
    if (&node != &nodes[0]) words.insert(words.end(), nodes[0].options.begin(), nodes[0].options.end());
    absl::StrAppend(&cases, "    ", Quoted(node.path), ") words=", Quoted(absl::StrJoin(words, " ")), " ;;\n");
    absl::StrAppend(&known, known.empty() ? "" : "|", Quoted(node.path));
  }
  return absl::StrCat(R"(# bash completion of tandem-fleetctl: source <(tandem-fleetctl completion bash)
_tandem_fleetctl() {
  local current=${COMP_WORDS[COMP_CWORD]} path='' longer words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    longer="${path:+$path }${COMP_WORDS[i]}"
    case "$longer" in
      )",
                      known, R"() path=$longer ;;
    esac
  done
  case "$path" in
)",
                      cases, R"(  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _tandem_fleetctl tandem-fleetctl
)");
}

std::string ZshCompletion(const CLI::App& app) {
  return absl::StrCat("#compdef tandem-fleetctl\nautoload -U +X bashcompinit && bashcompinit\n", BashCompletion(app));
}

std::string FishCompletion(const CLI::App& app) {
  std::string script =
      "# fish completion of tandem-fleetctl: tandem-fleetctl completion fish | source\n"
      "function __tandem_fleetctl_at\n"
      "  set -l words (string match -v -- '-*' (commandline -opc)[2..])\n"
      "  test \"$words[1..(count $argv)]\" = \"$argv\"; and begin\n"
      "    test (count $argv) -gt 0; or test (count $words) -eq 0\n"
      "  end\n"
      "end\n";
  for (const Node& node : NodesOf(app)) {
    const std::string when = absl::StrCat(" -n ", Quoted(absl::StrCat("__tandem_fleetctl_at ", node.path)));
    for (const CLI::App* command : node.commands) {
      absl::StrAppend(&script, "complete -c tandem-fleetctl -f", when, " -a ", Quoted(command->get_name()), " -d ",
                      Quoted(command->get_description()), "\n");
    }
    for (const std::string& option : node.options) {
      absl::StrAppend(&script, "complete -c tandem-fleetctl", node.path.empty() ? "" : when, " -l ", option.substr(2),
                      "\n");
    }
  }
  return script;
}

void AddCompletionCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand("completion", "completion for a shell, to be sourced");
  command->footer(R"(
Examples:
  source <(tandem-fleetctl completion bash)
  tandem-fleetctl completion zsh > ~/.zfunc/_tandem-fleetctl
  tandem-fleetctl completion fish > ~/.config/fish/completions/tandem-fleetctl.fish)");
  auto& shell = Own<std::string>();
  command->add_option("shell", shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, &shell] {
    std::cout << (shell == "bash" ? BashCompletion(app) : shell == "zsh" ? ZshCompletion(app) : FishCompletion(app));
  });
}

}  // namespace tandem::fleetctl
