#include <CLI/CLI.hpp>

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "retort/base/error.h"
#include "retort/cli/bench_target.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/signal_stop.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"

// How fast a model runs, here or behind a server. Every number comes from requests, as a client
// would send them; each is the best of a few repetitions, since whatever disturbs a machine only
// makes it slower.
namespace retort {
namespace {

using Clock = std::chrono::steady_clock;

// Prompts of decode measurements: short, so that weights and not keys are what is read.
constexpr int kShortPromptTokens = 16;
// Weights find their places in the steps after a model's first, some in each.
constexpr int kSettlingTokens = 32;

struct BenchOptions {
  LocalModelOptions model;
  std::string against;      // a server's URL; empty: a model in this process
  std::string api_key_env;  // empty: no key
  std::vector<int> batches = {1, 4, 16, 64};
  int prompt_tokens = 512;
  int new_tokens = 64;
  int depth = 0;
  int repeat = 3;
  bool json = false;
};

// One line of the report.
struct Measurement {
  std::string what;  // "prefill", "decode"
  int batch = 1;
  int context_tokens = 0;  // at the first token that is measured
  int64_t tokens = 0;      // computed in `seconds`
  double seconds = 0;
  double first_token_s = 0;  // decode: what `seconds` was taken after

  double tokens_per_s() const { return static_cast<double>(tokens) / seconds; }
};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

class Bench {
 public:
  Bench(BenchTarget& target, const BenchOptions& options) : target_(target), options_(options) {}

  // The time from the first of `batch` requests until the last answer.
  double Time(int batch, int prompt_tokens, int new_tokens) {
    std::vector<std::vector<int32_t>> prompts;
    for (int i = 0; i < batch; ++i) prompts.push_back(prompts_.Next(prompt_tokens));
    return TimeOf(std::move(prompts), new_tokens);
  }

  Measurement Prefill(int prompt_tokens) {
    double best = Time(1, prompt_tokens, 1);
    for (int i = 1; i < options_.repeat; ++i) best = std::min(best, Time(1, prompt_tokens, 1));
    return {"prefill", 1, 0, prompt_tokens, best};
  }

  // What new_tokens more take than one: prompts and the way in and out cancel.
  Measurement Decode(int batch, int prompt_tokens) {
    return DecodeBy(batch, prompt_tokens,
                    [&](int new_tokens) { return Time(batch, prompt_tokens, new_tokens); });
  }

  // The same of one sequence after a long prompt, which takes so much longer than what is measured
  // that its every tremor would show: it is computed once, and then found in the prefix cache.
  Measurement DecodeAfter(int prompt_tokens) {
    const std::vector<int32_t> prompt = prompts_.Next(prompt_tokens);
    const auto time = [&](int new_tokens) { return TimeOf({prompt}, new_tokens); };
    time(1);
    return DecodeBy(1, prompt_tokens, time);
  }

  std::vector<Measurement> All() {
    std::vector<Measurement> all;
    all.push_back(Prefill(options_.prompt_tokens));
    for (const int batch : options_.batches) all.push_back(Decode(batch, kShortPromptTokens));
    if (options_.depth > 0) {
      all.push_back(Prefill(options_.depth));
      all.push_back(DecodeAfter(options_.depth));
    }
    return all;
  }

 private:
  double TimeOf(std::vector<std::vector<int32_t>> prompts, int new_tokens) {
    const Clock::time_point begin = Clock::now();
    target_.Generate(std::move(prompts), new_tokens);
    return SecondsSince(begin);
  }

  Measurement DecodeBy(int batch, int prompt_tokens, const std::function<double(int)>& time) {
    double best_one = time(1);
    double best_all = time(1 + options_.new_tokens);
    for (int i = 1; i < options_.repeat; ++i) {
      best_one = std::min(best_one, time(1));
      best_all = std::min(best_all, time(1 + options_.new_tokens));
    }
    return {"decode",
            batch,
            prompt_tokens,
            int64_t{batch} * options_.new_tokens,
            std::max(best_all - best_one, 1e-9),
            best_one};
  }

  BenchTarget& target_;
  const BenchOptions& options_;
  BenchPrompts prompts_;
};

uint64_t PeakMemoryBytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// Of a model in this process.
struct LocalReport {
  ModelDescription description;
  ModelStats stats;
  double load_s = 0;         // until the model takes requests
  double first_token_s = 0;  // and has answered one with a token
};

Json ToJson(const std::vector<Measurement>& measurements) {
  Json json = Json::array();
  for (const Measurement& m : measurements) {
    json.push_back({{"what", m.what},
                    {"batch", m.batch},
                    {"context_tokens", m.context_tokens},
                    {"tokens", m.tokens},
                    {"seconds", m.seconds},
                    {"first_token_s", m.first_token_s},
                    {"tokens_per_s", m.tokens_per_s()}});
  }
  return json;
}

Json ToJson(const LocalReport& report) {
  return {{"digest", report.description.digest},
          {"dispatch_level", report.description.dispatch_level},
          {"load_s", report.load_s},
          {"load_to_first_token_s", report.first_token_s},
          {"weight_bytes", report.stats.weight_bytes},
          {"kv_bytes", report.stats.kv_bytes},
          {"peak_rss_bytes", PeakMemoryBytes()}};
}

std::string TableOf(const std::vector<Measurement>& measurements) {
  Table table({"measured", "batch", "context", "tokens/s", "ms per step"});
  for (const Measurement& m : measurements) {
    const double steps =
        m.what == "decode" ? static_cast<double>(m.tokens) / m.batch : 1.0;  // a prompt is one
    table.AddRow({m.what == "decode" ? m.what : fmt::format("{} {}", m.what, m.tokens),
                  std::to_string(m.batch), std::to_string(m.context_tokens),
                  fmt::format("{:.1f}", m.tokens_per_s()),
                  fmt::format("{:.2f}", 1e3 * m.seconds / steps)});
  }
  return table.Text();
}

int BenchLocal(BenchOptions options) {
  SignalStop signals;
  options.model.max_num_seqs = *std::max_element(options.batches.begin(), options.batches.end());
  LocalReport report;
  const Clock::time_point begin = Clock::now();
  const auto model = OpenLocalModel(options.model);
  report.load_s = SecondsSince(begin);
  const auto target = LocalBenchTarget(*model, signals.token());
  Bench bench(*target, options);
  bench.Time(1, kShortPromptTokens, 1);
  report.first_token_s = SecondsSince(begin);
  bench.Time(1, kShortPromptTokens, kSettlingTokens);
  const std::vector<Measurement> measurements = bench.All();
  report.description = model->description();
  report.stats = model->stats();
  if (options.json) {
    Json json = {{"model", options.model.model}};
    json.update(ToJson(report));
    json["measurements"] = ToJson(measurements);
    PrintResult(DumpJson(json) + "\n");
    return kExitDone;
  }
  Print("{} ({}): loaded in {:.2f} s, first token after {:.2f} s\n", options.model.model,
        report.description.dispatch_level, report.load_s, report.first_token_s);
  Print("{}weights {}, keys and values {}, peak memory {}\n", TableOf(measurements),
        FormatBytes(report.stats.weight_bytes), FormatBytes(report.stats.kv_bytes),
        FormatBytes(PeakMemoryBytes()));
  return kExitDone;
}

int BenchRemote(const BenchOptions& options) {
  SignalStop signals;
  BenchServer server{options.against, options.model.model, ""};
  if (!options.api_key_env.empty()) {
    const char* key = std::getenv(options.api_key_env.c_str());
    if (key == nullptr || *key == '\0') {
      Throw(ErrorCode::kInvalid, "--api-key-env: ${} is not set", options.api_key_env);
    }
    server.api_key = key;
  }
  const auto target = RemoteBenchTarget(&server, signals.token());
  Bench bench(*target, options);
  bench.Time(1, kShortPromptTokens, 1);  // whatever a server does only once
  const std::vector<Measurement> measurements = bench.All();
  if (options.json) {
    const Json json = {
        {"model", server.model}, {"url", server.url}, {"measurements", ToJson(measurements)}};
    PrintResult(DumpJson(json) + "\n");
  } else {
    Print("{} at {}\n{}", server.model, server.url, TableOf(measurements));
  }
  return kExitDone;
}

int RunBench(const BenchOptions& options) {
  if (!options.against.empty()) return BenchRemote(options);
  if (options.model.model.empty()) {
    Throw(ErrorCode::kInvalid, "bench: name a model, or a server by --against URL");
  }
  return BenchLocal(options);
}

}  // namespace

std::function<int()> AddBenchCommand(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  AddLocalModelOptions(app, options->model);
  app.get_option("model")->required(false);
  auto* against = app.add_option("--against", options->against,
                                 "Measure a server of OpenAI's completions instead, e.g. "
                                 "http://localhost:8000/v1; MODEL is its name there (default: the "
                                 "first that it lists)")
                      ->check(NotEmpty());
  app.add_option("--api-key-env", options->api_key_env, "Environment variable with its key")
      ->needs(against)
      ->check(NotEmpty());
  for (const char* name :
       {"--device", "--threads", "--kv-cache", "--kv-format", "--context", "--exact"}) {
    against->excludes(app.get_option(name));
  }
  constexpr int kTokensMax = 1 << 20;
  app.add_option("--batches", options->batches, "Sequences that decode together, e.g. 1,4,16")
      ->delimiter(',')
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  app.add_option("--prompt", options->prompt_tokens, "Tokens of the prefill that is measured")
      ->check(CLI::Range(1, kTokensMax))
      ->capture_default_str();
  app.add_option("--tokens", options->new_tokens, "Tokens that each sequence decodes")
      ->check(CLI::Range(1, kTokensMax))
      ->capture_default_str();
  app.add_option("--depth", options->depth, "Also after a prompt of so many tokens")
      ->check(CLI::Range(0, kTokensMax));
  app.add_option("--repeat", options->repeat, "Repetitions, of which the best counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--json", options->json, "One JSON object");
  return [options] { return RunBench(*options); };
}

}  // namespace retort
