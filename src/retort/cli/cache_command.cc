#include <CLI/CLI.hpp>

#include "retort/base/error.h"
#include "retort/cli/command_list.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"
#include "retort/pipeline/config.h"
#include "retort/pipeline/ledger.h"

namespace retort {

std::function<int()> AddCacheCommand(CLI::App& app) {
  struct Options {
    std::string file;
    std::optional<std::string> max_age;
    std::optional<std::string> max_size;
    bool collect = false;
  };
  auto options = std::make_shared<Options>();
  app.add_option("--cache", options->file,
                 "The cache's file (default: in $RETORT_HOME, else in ~/.cache/retort)")
      ->transform(IsPath());
  app.require_subcommand(1);
  app.add_subcommand("ls", "Show what the cache holds");
  CLI::App* gc = app.add_subcommand("gc", "Remove what was not used for long");
  gc->add_option("--max-age", options->max_age, "Remove what was not used for this long: 30d, 12h");
  gc->add_option("--max-size", options->max_size, "Keep at most this much: 2GiB");
  gc->callback([options] { options->collect = true; });
  return [options] {
    if (options->file.empty()) options->file = DefaultCachePath().string();
    if (options->collect) {
      if (!options->max_age && !options->max_size) {
        Throw(ErrorCode::kInvalid, "cache gc: say what may go, with --max-age or --max-size");
      }
      std::optional<std::chrono::seconds> max_age;
      std::optional<uint64_t> max_size;
      if (options->max_age) {
        max_age = std::chrono::ceil<std::chrono::seconds>(ParseDuration(*options->max_age));
      }
      if (options->max_size) max_size = ParseByteSize(*options->max_size);
      const uint64_t removed = CollectLedger(options->file, max_age, max_size);
      Print("removed {} records from {}\n", FormatCount(removed), options->file);
    }
    const LedgerSummary summary = SummarizeLedger(options->file);
    Table table({"kind", "records", "bytes"});
    for (const auto& kind : summary.kinds) {
      table.AddRow({kind.name, FormatCount(kind.num_records), FormatBytes(kind.value_bytes)});
    }
    Print("{} ({})\n{}", options->file, FormatBytes(summary.file_bytes), table.Text());
    return 0;
  };
}

}  // namespace retort
