#include <CLI/CLI.hpp>

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "retort/base/error.h"
#include "retort/base/random.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/signal_stop.h"
#include "retort/cli/table.h"

// How fast a model runs here. Every number comes from requests, as a client would send them; each
// is the best of a few repetitions, since whatever disturbs a machine only makes it slower.
namespace retort {
namespace {

using Clock = std::chrono::steady_clock;

// Prompts of decode measurements: short, so that weights and not keys are what is read.
constexpr int kShortPromptTokens = 16;

struct BenchOptions {
  LocalModelOptions model;
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
  Bench(LanguageModel& model, const BenchOptions& options, std::stop_token stop)
      : model_(model), options_(options), stop_(std::move(stop)) {}

  // The time from the first of `batch` requests until the last answer.
  double Time(int batch, int prompt_tokens, int new_tokens) {
    std::vector<std::promise<Response>> answers(static_cast<size_t>(batch));
    const Clock::time_point begin = Clock::now();
    for (std::promise<Response>& answer : answers) {
      Request request;
      request.prompt = NextPrompt(prompt_tokens);
      Generation generation;
      generation.sampling.temperature = 0;
      generation.sampling.max_new_tokens = new_tokens;
      generation.sampling.ignore_eos = true;
      request.work = generation;
      request.stop = stop_;
      ResponseHandler handler;
      handler.on_done = [&answer](Response response) { answer.set_value(std::move(response)); };
      model_.Submit(std::move(request), std::move(handler));
    }
    std::optional<Error> failure;
    for (std::promise<Response>& answer : answers) {
      const Response response = answer.get_future().get();
      if (const Error* error = std::get_if<Error>(&response.result)) failure = *error;
    }
    if (failure) throw *failure;
    return SecondsSince(begin);
  }

  Measurement Prefill(int prompt_tokens) {
    double best = Time(1, prompt_tokens, 1);
    for (int i = 1; i < options_.repeat; ++i) best = std::min(best, Time(1, prompt_tokens, 1));
    return {"prefill", 1, 0, prompt_tokens, best};
  }

  // What new_tokens more take than one: prompts and the way in and out cancel.
  Measurement Decode(int batch, int prompt_tokens) {
    double best_one = Time(batch, prompt_tokens, 1);
    double best_all = Time(batch, prompt_tokens, 1 + options_.new_tokens);
    for (int i = 1; i < options_.repeat; ++i) {
      best_one = std::min(best_one, Time(batch, prompt_tokens, 1));
      best_all = std::min(best_all, Time(batch, prompt_tokens, 1 + options_.new_tokens));
    }
    return {"decode",
            batch,
            prompt_tokens,
            int64_t{batch} * options_.new_tokens,
            std::max(best_all - best_one, 1e-9),
            best_one};
  }

 private:
  // Ids that every vocabulary has; no prompt begins like another.
  std::vector<int32_t> NextPrompt(int num_tokens) {
    constexpr uint64_t kFirstId = 3;
    constexpr uint64_t kNumIds = 250;
    std::vector<int32_t> ids(static_cast<size_t>(num_tokens));
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>(kFirstId + RandomBits(num_prompts_, i) % kNumIds);
    }
    ++num_prompts_;
    return ids;
  }

  LanguageModel& model_;
  const BenchOptions& options_;
  const std::stop_token stop_;
  uint64_t num_prompts_ = 1;
};

uint64_t PeakMemoryBytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

struct Report {
  std::string model;
  ModelDescription description;
  ModelStats stats;
  double load_s = 0;         // until the model takes requests
  double first_token_s = 0;  // and has answered one with a token
  std::vector<Measurement> measurements;
};

Json ToJson(const Report& report) {
  Json json = {{"model", report.model},
               {"digest", report.description.digest},
               {"dispatch_level", report.description.dispatch_level},
               {"load_s", report.load_s},
               {"load_to_first_token_s", report.first_token_s},
               {"weight_bytes", report.stats.weight_bytes},
               {"kv_bytes", report.stats.kv_bytes},
               {"peak_rss_bytes", PeakMemoryBytes()},
               {"measurements", Json::array()}};
  for (const Measurement& m : report.measurements) {
    json["measurements"].push_back({{"what", m.what},
                                    {"batch", m.batch},
                                    {"context_tokens", m.context_tokens},
                                    {"tokens", m.tokens},
                                    {"seconds", m.seconds},
                                    {"first_token_s", m.first_token_s},
                                    {"tokens_per_s", m.tokens_per_s()}});
  }
  return json;
}

void PrintReport(const Report& report) {
  fmt::print("{} ({}): loaded in {:.2f} s, first token after {:.2f} s\n", report.model,
             report.description.dispatch_level, report.load_s, report.first_token_s);
  Table table({"measured", "batch", "context", "tokens/s", "ms per step"});
  for (const Measurement& m : report.measurements) {
    const double steps =
        m.what == "decode" ? static_cast<double>(m.tokens) / m.batch : 1.0;  // a prompt is one
    table.AddRow({m.what == "decode" ? m.what : fmt::format("{} {}", m.what, m.tokens),
                  std::to_string(m.batch), std::to_string(m.context_tokens),
                  fmt::format("{:.1f}", m.tokens_per_s()),
                  fmt::format("{:.2f}", 1e3 * m.seconds / steps)});
  }
  fmt::print("{}weights {}, keys and values {}, peak memory {}\n", table.Text(),
             FormatBytes(report.stats.weight_bytes), FormatBytes(report.stats.kv_bytes),
             FormatBytes(PeakMemoryBytes()));
}

int RunBench(BenchOptions options) {
  SignalStop signals;
  options.model.max_num_seqs = *std::max_element(options.batches.begin(), options.batches.end());
  options.model.prefix_cache = false;
  Report report;
  report.model = options.model.model;
  const Clock::time_point begin = Clock::now();
  const auto model = OpenLocalModel(options.model);
  report.load_s = SecondsSince(begin);
  Bench bench(*model, options, signals.token());
  bench.Time(1, kShortPromptTokens, 1);
  report.first_token_s = SecondsSince(begin);

  // From the last to the first: the largest batch, mostly the last, takes longer than memory needs
  // to settle after loading.
  for (auto batch = options.batches.rbegin(); batch != options.batches.rend(); ++batch) {
    report.measurements.insert(report.measurements.begin(),
                               bench.Decode(*batch, kShortPromptTokens));
  }
  report.measurements.insert(report.measurements.begin(), bench.Prefill(options.prompt_tokens));
  if (options.depth > 0) {
    report.measurements.push_back(bench.Prefill(options.depth));
    report.measurements.push_back(bench.Decode(1, options.depth));
  }
  report.description = model->description();
  report.stats = model->stats();
  if (options.json) {
    fmt::print("{}\n", DumpJson(ToJson(report)));
  } else {
    PrintReport(report);
  }
  return kExitDone;
}

}  // namespace

std::function<int()> AddBenchCommand(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  AddLocalModelOptions(app, options->model);
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
