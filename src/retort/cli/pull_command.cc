#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "retort/base/home.h"
#include "retort/cli/command_list.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"
#include "retort/hub/hub.h"

namespace retort {

std::function<int()> AddPullCommand(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  std::string known = "A known name";
  for (const KnownModel& model : KnownModels()) known += fmt::format(" ({})", model.name);
  app.add_option("model", *name, known + ", or org/model of the model hub")
      ->required()
      ->check(NotEmpty());
  return [name] {
    const bool terminal = ::isatty(STDERR_FILENO) != 0;
    std::string shown;
    const auto path = PullModel(*name, DefaultHome(), [&](const PullProgress& progress) {
      if (terminal) {
        SendToTerminal("\r\x1b[K");
        Note("{}: {}{}", progress.file, FormatBytes(progress.done_bytes),
             progress.total_bytes > 0 ? " of " + FormatBytes(progress.total_bytes) : "");
      } else if (shown != progress.file) {
        shown = progress.file;
        Note("fetching {}\n", shown);
      }
    });
    if (terminal) SendToTerminal("\r\x1b[K");
    Print("{} is at {}\n", *name, path.string());
    return 0;
  };
}

}  // namespace retort
