#include "retort/pipeline/output_sequencer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "retort/pipeline/run_harness_test.h"

namespace retort {
namespace {

using fake::JsonLines;

class OutputSequencerTest : public ::testing::Test {
 protected:
  static FailureRecord Failure(RowPath path, size_t rank) {
    return {fmt::format("step{}", rank),       rank, std::move(path), {},
            Error(ErrorCode::kInvalid, "why"), "",   Json::object()};
  }

  fake::TempDir dir_;
  Graph graph_ = fake::MakeGraph(
      "steps:\n  - {name: rows, type: Rows, count: 1}\n  - {name: leaf, type: Draw}\n");
};

TEST_F(OutputSequencerTest, WhatBecameOfARowIsWrittenByPathThenStepWhateverEndedFirst) {
  // By path alone, or by step alone, the order would be another one.
  const std::vector<std::pair<RowPath, size_t>> in_order = {
      {{}, 9}, {{0}, 7}, {{0, 1}, 3}, {{0, 1}, 5}, {{1}, 2}, {{1, 0}, 1}, {{10}, 0}};
  const std::vector<std::string> expected = {"0 step9",     "0.0 step7", "0.0.1 step3",
                                             "0.0.1 step5", "0.1 step2", "0.1.0 step1",
                                             "0.10 step0"};
  std::vector<size_t> arrival = {0, 1, 2, 3, 4, 5, 6};
  int tried = 0;
  do {
    if (++tried % 97 != 1) continue;  // some of the 5,040
    fake::TempDir dir;
    OutputSequencer sequencer(graph_, dir.path(), 4);
    const std::shared_ptr<Family> family = sequencer.Begin();
    for (const size_t i : arrival) {
      const auto& [path, rank] = in_order[i];
      family->failures.push_back(Failure(path, rank));
      if (rank != 5) family->lines.push_back({1, path, fmt::format("{{\"i\":{}}}\n", i)});
      family->global_inputs.push_back({1, path, {{"i", i}}, {}, false});
    }
    sequencer.End(family);
    const std::vector<GlobalInput> inputs = sequencer.TakeInputs(1);
    sequencer.Finish(true);
    std::vector<std::string> failed;
    for (const Json& line : JsonLines(dir.path() / "failed.jsonl")) {
      failed.push_back(line.at("lineage").get<std::string>() + " " +
                       line.at("step").get<std::string>());
    }
    ASSERT_EQ(failed, expected);
    std::vector<int> lines;
    for (const Json& row : JsonLines(dir.path() / "leaf.jsonl")) lines.push_back(row.at("i"));
    ASSERT_EQ(lines, (std::vector<int>{0, 1, 2, 4, 5, 6}));
    ASSERT_TRUE(std::is_sorted(inputs.begin(), inputs.end(),
                               [](const auto& a, const auto& b) { return a.path < b.path; }));
  } while (std::next_permutation(arrival.begin(), arrival.end()));
}

TEST_F(OutputSequencerTest, FamiliesAreWrittenInTheOrderTheyBegan) {
  OutputSequencer sequencer(graph_, dir_.path(), 4);
  std::vector<std::shared_ptr<Family>> families;
  for (int i = 0; i < 3; ++i) {
    families.push_back(sequencer.Begin());
    families.back()->failures.push_back(Failure({}, static_cast<size_t>(i)));
  }
  sequencer.End(families[2]);
  sequencer.End(families[1]);
  EXPECT_EQ(sequencer.num_written(), 0u);
  sequencer.End(families[0]);
  EXPECT_EQ(sequencer.num_written(), 3u);
  sequencer.Finish(true);
  const std::vector<Json> failed = JsonLines(dir_.path() / "failed.jsonl");
  ASSERT_EQ(failed.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(failed[i].at("lineage"), std::to_string(i));
}

}  // namespace
}  // namespace retort
