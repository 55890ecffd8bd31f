// One seed, one data set: however the engine is set to work.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/acceptance/retort_process.h"
#include "tests/acceptance/subject.h"

namespace retort {
namespace {

struct Variant {
  const char* what;
  std::vector<std::string> arguments;
};

TEST(Repeat, TheOutputDoesNotDependOnHowTheEngineWorks) {
  std::string why;
  const auto subject = FindSubject(why);
  if (!subject) GTEST_SKIP() << why;
  const int num_rows = Setting("RETORT_ACCEPTANCE_ROWS", 8);
  const auto model = [](const std::string& setting) {
    return std::vector<std::string>{"--set", "models.judge." + setting};
  };
  const std::vector<Variant> variants = {
      {"as it is", {}},
      {"again", {}},
      {"max_num_seqs 1", model("max_num_seqs=1")},
      {"max_num_seqs 8", model("max_num_seqs=8")},
      {"max_num_seqs 64", model("max_num_seqs=64")},
      {"prefix cache on", model("prefix_cache=true")},
      {"prefix cache off", model("prefix_cache=false")},
      {"chunks of 16", model("prefill_chunk=16")},
      {"chunks of 512",
       {"--set", "models.judge.prefill_chunk=512", "--set", "models.judge.max_batch_tokens=512"}},
      {"one thread", {"--threads", "1"}},
  };
  std::string expected;
  std::map<std::string, Json> reports;
  for (const Variant& variant : variants) {
    ScratchFolder folder;
    std::vector<std::string> more = variant.arguments;
    more.push_back("--no-cache");
    const Ended ended = RunRetort(subject->Arguments(folder.path(), num_rows, more), folder.path());
    ASSERT_EQ(ended.exit_status, 0) << variant.what << ": " << ended.output;
    const std::string output = FileText(OutputFile(folder.path()));
    ASSERT_FALSE(output.empty()) << variant.what;
    if (expected.empty()) expected = output;
    EXPECT_TRUE(output == expected) << variant.what << ": the output differs";
    const Json report = RunJson(folder.path());
    reports[variant.what] = report.at("models").at(0);
    std::cout << variant.what << ": " << (output == expected ? "identical" : "DIFFERENT") << ", "
              << report.at("wall_s").get<double>() << " s\n";
  }
  // The settings were heard.
  const auto number = [&](const char* variant, const char* key) {
    return reports.at(variant).at(key).get<double>();
  };
  EXPECT_LE(number("max_num_seqs 1", "mean_sequences_per_step"), 1);
  EXPECT_GT(number("max_num_seqs 8", "mean_sequences_per_step"), 2);
  EXPECT_GT(number("max_num_seqs 64", "mean_sequences_per_step"),
            number("max_num_seqs 8", "mean_sequences_per_step"));
  EXPECT_GT(number("prefix cache on", "prompt_tokens_cached"), 0);
  EXPECT_EQ(number("prefix cache off", "prompt_tokens_cached"), 0);
  EXPECT_GT(number("chunks of 16", "engine_steps"), number("chunks of 512", "engine_steps"));
}

}  // namespace
}  // namespace retort
