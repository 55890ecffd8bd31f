// Each bound of a pipeline at, below and above it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <thread>

#include "retort/base/file.h"
#include "retort/pipeline/input_kinds.h"
#include "retort/pipeline/ledger.h"
#include "retort/pipeline/model_context.h"
#include "retort/pipeline/run_harness_test.h"
#include "retort/pipeline/yaml_node.h"

namespace retort {
namespace {

using testing::HasSubstr;

std::string Problem(const std::string& yaml) {
  try {
    fake::MakeGraph(yaml);
  } catch (const Error& error) {
    return error.message();
  }
  return "";
}

std::string ChainOf(size_t num_steps) {
  std::string yaml = "steps:\n  - {name: rows, type: Rows, count: 1}\n";
  for (size_t i = 1; i < num_steps; ++i) {
    yaml += fmt::format("  - {{name: s{}, type: Split, parts: 1}}\n", i);
  }
  return yaml;
}

TEST(PipelineBounds, Steps) {
  EXPECT_EQ(Problem(ChainOf(kStepsMax - 1)), "");
  EXPECT_EQ(Problem(ChainOf(kStepsMax)), "");
  EXPECT_THAT(Problem(ChainOf(kStepsMax + 1)), HasSubstr("more than 1000 steps"));
}

// A column that is in none of the first rows is not there; in the last of them it is.
TEST(PipelineBounds, PeekedRows) {
  const auto problem = [](size_t row_with_column) {
    std::string rows;
    for (size_t i = 1; i <= kPeekRows + 1; ++i) {
      rows += fmt::format("{}{{a: 1{}}}", rows.empty() ? "" : ", ",
                          i == row_with_column ? ", late: 2" : "");
    }
    return Problem("steps:\n  - {name: rows, type: Rows, data: [" + rows +
                   "]}\n  - {name: keep, type: Keep, columns: [late]}\n");
  };
  EXPECT_EQ(problem(kPeekRows - 1), "");
  EXPECT_EQ(problem(kPeekRows), "");
  EXPECT_THAT(problem(kPeekRows + 1), HasSubstr("needs the column 'late'"));
}

TEST(PipelineBounds, YamlDepthNodesAndBytes) {
  const auto nested = [](int depth) {  // the map around them is one level
    return "a: " + std::string(depth - 1, '[') + std::string(depth - 1, ']');
  };
  EXPECT_NO_THROW(ParseYaml(nested(kYamlDepthMax - 1), "t"));
  EXPECT_NO_THROW(ParseYaml(nested(kYamlDepthMax), "t"));
  EXPECT_THROW(ParseYaml(nested(kYamlDepthMax + 1), "t"), Error);
  const auto list = [](size_t num_nodes) {  // the map, its key and the list are three
    std::string text = "a: [x";
    for (size_t i = 4; i < num_nodes; ++i) text += ",x";
    return text + "]";
  };
  EXPECT_NO_THROW(ParseYaml(list(kYamlNodesMax - 1), "t"));
  EXPECT_NO_THROW(ParseYaml(list(kYamlNodesMax), "t"));
  EXPECT_THROW(ParseYaml(list(kYamlNodesMax + 1), "t"), Error);
  fake::TempDir dir;
  const auto read = [&](size_t size) {
    const std::string text = "steps:\n" + std::string("  - {name: rows, type: Rows}\n#");
    std::ofstream(dir.path() / "p.yaml") << text << std::string(size - text.size(), 'x');
    Problems problems;
    ReadConfig(dir.path() / "p.yaml", {}, problems);
  };
  EXPECT_NO_THROW(read(kYamlBytesMax - 1));
  EXPECT_NO_THROW(read(kYamlBytesMax));
  EXPECT_THROW(read(kYamlBytesMax + 1), Error);
}

// So many attempts find a server that is back by then; one fewer fails the row.
TEST(PipelineBounds, Attempts) {
  const auto rows_failed = [](uint64_t num_away) {
    fake::TempDir dir;
    const Json script = {
        {"rules",
         {{{"match", ""}, {"error", "unavailable"}, {"message", "away"}, {"times", num_away}}}},
        {"default", "fine"}};
    return fake::RunGraph(fake::MakeGraph("models: {m: t}\nsteps:\n"
                                          "  - {name: r, type: Rows, data: [{text: a}]}\n"
                                          "  - {name: a, type: Ask, llm: m}\n"),
                          fake::MakeModel(script), dir.path())
        .rows_failed;
  };
  EXPECT_EQ(rows_failed(kAttemptsMax - 2), 0u);
  EXPECT_EQ(rows_failed(kAttemptsMax - 1), 0u);
  EXPECT_EQ(rows_failed(kAttemptsMax), 1u);
}

// Whoever puts more than are committed waits, and goes on when there is room.
TEST(PipelineBounds, RecordsThatWaitForTheLedger) {
  fake::TempDir dir;
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  std::atomic<size_t> num_put = 0;
  LedgerOptions options;
  options.before_commit = [going](const std::vector<LedgerRecord>&) { going.wait(); };
  Ledger ledger(dir.path() / "cache.sqlite", options);
  constexpr size_t kRecords = 4 * kLedgerQueueMax;
  std::thread putter([&] {
    for (size_t i = 0; i < kRecords; ++i) {
      Sha256 digest;
      ledger.Put({FinishKey(digest.Field(i)), RecordKind::kCompletion, "x"});
      ++num_put;
    }
  });
  // The writer holds a part of them, and has no more room for others.
  for (size_t before = SIZE_MAX; before != num_put || num_put < kLedgerQueueMax;) {
    before = num_put;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_GE(num_put, kLedgerQueueMax);
  EXPECT_LT(num_put, 2 * kLedgerQueueMax);
  go.set_value();
  putter.join();
  ledger.Flush();
  EXPECT_EQ(ledger.num_committed(), kRecords);
}

TEST(PipelineBounds, UnansweredRequests) {
  fake::OneModel source(fake::MakeModel(Json::object()));
  ModelSlot slot("m", source);
  for (int round = 0; round < 2; ++round) {
    for (int i = 1; i < kUnansweredMax; ++i) EXPECT_TRUE(slot.CountAnswer(false)) << i;
    if (round == 0) {
      EXPECT_TRUE(slot.CountAnswer(true));
    }
  }
  EXPECT_FALSE(slot.CountAnswer(false));
}

TEST(PipelineBounds, RequestsOfOneRowAtOnce) {
  const auto most = [](size_t copies) {
    fake::TempDir dir;
    ScriptedOptions slow;
    slow.num_threads = 1;
    slow.delay_us = 2000;
    const auto model = std::make_shared<ScriptedModel>(ParseScript(Json::object(), "s"), slow);
    RunOptions options;
    options.num_workers = 1;
    fake::RunGraph(
        fake::MakeGraph(fmt::format("models: {{m: {{path: t, generation: {{temperature: 1}}}}}}\n"
                                    "steps:\n  - {{name: r, type: Rows, data: [{{text: a}}]}}\n"
                                    "  - {{name: a, type: Ask, llm: m, copies: {}}}\n",
                                    copies)),
        model, dir.path(), options);
    EXPECT_EQ(model->num_calls(), copies);
    return model->num_in_flight_max();
  };
  EXPECT_LE(most(kRequestsAtOnceMax - 1), kRequestsAtOnceMax - 1);
  EXPECT_LE(most(kRequestsAtOnceMax), kRequestsAtOnceMax);
  EXPECT_LE(most(kRequestsAtOnceMax + 1), kRequestsAtOnceMax);
}

TEST(PipelineBounds, ValuesShownInMessages) {
  StepType type;
  type.input_kinds = {{"a", InputKind::kTextList}};
  const auto shown = [&](size_t size) {
    try {
      CheckInputKinds(type, {{"a", "a", true}}, {{"a", std::string(size, 'x')}});
    } catch (const Error& error) {
      return error.message();
    }
    return std::string();
  };
  // Two quotes belong to the text.
  EXPECT_THAT(shown(57), testing::EndsWith("\"" + std::string(57, 'x') + "\""));
  EXPECT_THAT(shown(58), testing::EndsWith("\"" + std::string(58, 'x') + "\""));
  EXPECT_THAT(shown(59), testing::EndsWith("\"" + std::string(59, 'x') + "..."));
}

}  // namespace
}  // namespace retort
