// Time of structured output on MaskBench with the Llama-3 vocabulary, one thread:
//   compile + first mask, and per token of the valid instances: mask + commit.
// Usage: structured_masks [FILES] [declared|any] [cold|warm] [OUTPUT]
// FILES: how many of the files with tests, those whose names have the smallest SHA-256 (0: all).
// cold: masks of lexer states are forgotten before each file; warm (default): shared, as in use.
// OUTPUT: one JSON line per file, as bench/peers/structured/peer.py writes them, and a hash of all
// masks, which tells whether a change left them as they were.
// RETORT_BENCH_ONLY: a part of file names; the others are passed over.
// Needs ../shared/data (or RETORT_SHARED).
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/base/shared_data_test.h"
#include "retort/grammar/constraint.h"
#include "retort/grammar/vocabulary.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "tests/conformance/maskbench/maskbench.h"

namespace {

// RETORT_BENCH_CPU_TIME: the thread's processor time instead of wall time, for a machine that
// others use too. Asking for it costs some 0.2 us, which is in each figure then.
struct Clock {
  using time_point = double;  // microseconds
  static time_point now() {
    static const bool cpu = std::getenv("RETORT_BENCH_CPU_TIME") != nullptr;
    timespec time{};
    clock_gettime(cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
  }
};

// A token that took long: what came before it is worth printing.
struct Slow {
  double us = 0;
  double mask_us = 0;
  std::string file;
  std::string text;
};
constexpr double kSlowMicroseconds = 100;
constexpr size_t kSlowText = 40;

double Microseconds(Clock::time_point since) { return Clock::now() - since; }

void Print(const char* name, std::vector<double> values, double scale, const char* unit) {
  if (values.empty()) return;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += value;
  const auto at = [&](double part) {
    return values[std::min(values.size() - 1,
                           static_cast<size_t>(part * static_cast<double>(values.size())))] /
           scale;
  };
  std::printf("%s: n %zu avg %.2f p50 %.2f p90 %.2f p99 %.2f p99.9 %.2f max %.2f %s\n", name,
              values.size(), sum / static_cast<double>(values.size()) / scale, at(0.5), at(0.9),
              at(0.99), at(0.999), values.back() / scale, unit);
}

std::shared_ptr<const retort::Tokenizer> Llama3() {
  constexpr std::string_view kPattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const auto file = retort::SharedData() / "tokenizers/llama3/tokenizer.model";
  std::vector<std::pair<std::string, int32_t>> special;
  for (int i = 0; i < 256; ++i) {
    special.emplace_back("<|reserved_" + std::to_string(i) + "|>", 128'000 + i);
  }
  special[1].first = "<|end_of_text|>";
  special[9].first = "<|eot_id|>";
  return retort::LoadTiktoken(retort::ReadFile(file, 64u << 20), kPattern, special, file.string());
}

}  // namespace

int main(int argc, char** argv) {
  using namespace retort;
  const size_t num_files = argc > 1 ? static_cast<size_t>(std::atoll(argv[1])) : 400;
  const bool any = argc > 2 && std::string_view(argv[2]) == "any";
  const bool cold = argc > 3 && std::string_view(argv[3]) == "cold";
  std::FILE* output = argc > 4 ? std::fopen(argv[4], "w") : nullptr;
  const char* only = std::getenv("RETORT_BENCH_ONLY");
  const ScratchFolder scratch;
  auto files = MaskBenchFilesByDigest(scratch.path());
  if (files.empty()) {
    std::fprintf(stderr, "../shared/data/maskbench is absent\n");
    return 3;
  }
  std::erase_if(files, [&](const auto& file) {
    return only != nullptr && file.filename().string().find(only) == std::string::npos;
  });
  const auto tokenizer = Llama3();
  auto start = Clock::now();
  auto vocabulary = MakeVocabulary(tokenizer);
  std::printf("vocabulary: %d tokens in %.1f ms\n", vocabulary->size(), Microseconds(start) / 1000);
  std::vector<double> first;
  std::vector<double> compile;
  std::vector<double> token;
  size_t num_taken = 0;
  size_t num_refused = 0;
  std::vector<Slow> slowest;
  Slow slowest_first;
  for (const auto& file : files) {
    const MaskBenchCase test = ReadMaskBenchCase(file);
    if (test.tests.empty()) continue;
    if (num_files > 0 && num_taken == num_files) break;
    ++num_taken;
    if (cold) vocabulary = MakeVocabulary(tokenizer);
    std::vector<uint32_t> bits(vocabulary->num_mask_words());
    Json record = {{"file", file.filename().string()}, {"tests", test.tests.size()}};
    const size_t first_token = token.size();
    uint64_t masks = 0;
    int valid_rejected = 0;
    int invalid_accepted = 0;
    try {
      start = Clock::now();
      JsonSchemaOptions options;
      if (any) options.property_order = JsonSchemaOptions::PropertyOrder::kAny;
      const auto grammar = CompileJsonSchema(test.schema, options);
      compile.push_back(Microseconds(start));
      const Constraint constraint(grammar, vocabulary);
      constraint.Start().Mask(bits);
      first.push_back(Microseconds(start));
      if (first.back() > slowest_first.us) slowest_first = {first.back(), 0, test.name, {}};
      record["compile_us"] = compile.back();
      record["first_us"] = first.back();
      for (const auto& instance : test.tests) {
        ConstraintState state = constraint.Start();
        std::string text;
        bool accepted = true;
        for (const int32_t id : tokenizer->Encode(instance.text, false)) {
          start = Clock::now();
          state.Mask(bits);
          const bool allowed = bits[id >> 5] >> (id & 31) & 1;
          const double mask_us = Microseconds(start);
          const bool committed = state.Commit(id);
          const double us = Microseconds(start);
          token.push_back(us);
          if (output != nullptr) {
            for (const uint32_t word : bits) masks = (masks ^ word) * 0x9e3779b97f4a7c15ULL;
          }
          if (us > kSlowMicroseconds) {
            slowest.push_back({us, mask_us, test.name,
                               text.substr(text.size() > kSlowText ? text.size() - kSlowText : 0)});
          }
          if (allowed != committed) {
            std::printf("MISMATCH %s token %d after %s\n", test.name.c_str(), id, text.c_str());
          }
          accepted = committed;
          if (!committed) break;
          text += vocabulary->Text(id);
        }
        accepted = accepted && state.IsComplete();
        valid_rejected += instance.valid && !accepted ? 1 : 0;
        invalid_accepted += !instance.valid && accepted ? 1 : 0;
      }
    } catch (const Error& error) {
      ++num_refused;
      record["refused"] = error.message();
    }
    if (output == nullptr) continue;
    if (!record.contains("refused")) {
      record["valid_rejected"] = valid_rejected;
      record["invalid_accepted"] = invalid_accepted;
      record["masks"] = masks;
      record["token_us"] = std::vector<double>(token.begin() + first_token, token.end());
    }
    std::fprintf(output, "%s\n", DumpJson(record).c_str());
  }
  if (output != nullptr) std::fclose(output);
  std::printf("files %zu, refused %zu, order %s, %s\n", num_taken, num_refused,
              any ? "any" : "declared", cold ? "cold" : "warm");
  Print("compile", compile, 1000, "ms");
  Print("compile + first mask", first, 1000, "ms");
  Print("mask + commit per token", token, 1, "us");
  std::printf("  longest first mask: %.0f us, %s\n", slowest_first.us, slowest_first.file.c_str());
  std::sort(slowest.begin(), slowest.end(),
            [](const Slow& a, const Slow& b) { return a.us > b.us; });
  for (size_t i = 0; i < std::min<size_t>(slowest.size(), 12); ++i) {
    const Slow& slow = slowest[i];
    std::printf("  %.0f us, mask %.0f: %s after %s\n", slow.us, slow.mask_us, slow.file.c_str(),
                slow.text.c_str());
  }
}
