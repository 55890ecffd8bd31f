#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/step_types.h"
#include "retort/pipeline/dry_run.h"

namespace retort {
namespace {

using testing::HasSubstr;

const std::filesystem::path kSource = RETORT_SOURCE_DIR;
constexpr uint64_t kTextBytesMax = 1 << 20;

TEST(Examples, AreValidAndCanBePlanned) {
  const std::vector<StepType> types = AllStepTypes();
  int num_examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kSource / "examples")) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path());
    ++num_examples;
    std::vector<Problem> warnings;
    const Graph graph = LoadPipeline(entry.path(), {}, types, {}, &warnings);
    for (const Problem& warning : warnings) ADD_FAILURE() << ProblemText(warning);
    const RunPlan plan = PlanRun(graph, 2);
    EXPECT_EQ(plan.num_source_rows, 2u);
    for (const PlannedStep& step : plan.steps) {
      SCOPED_TRACE(step.name);
      EXPECT_EQ(step.note.find("cannot be tried"), std::string::npos) << step.note;
      EXPECT_EQ(step.model.empty(), !step.prompt.has_value());
    }
  }
  EXPECT_GE(num_examples, 2);
}

// Ctrl-C ends a dry run too, whatever the prompts' templates do.
TEST(DryRun, CanBeStoppedInATemplate) {
  const ScratchFolder scratch;
  const std::filesystem::path& folder = scratch.path();
  WriteFileAtomically(folder / "rows.jsonl", "{\"instruction\": \"a\"}\n");
  WriteFileAtomically(folder / "p.yaml", R"(
name: p
models: {m: {path: nowhere}}
steps:
  - {name: load, type: LoadDataFromFileSystem, data_files: rows.jsonl}
  - name: ask
    type: TextGeneration
    llm: m
    template: "{{ instruction }}{% for i in range(100000) %}{% for j in range(100000) %}{{ i
      + j }}{% endfor %}{% endfor %}"
)");
  const std::vector<StepType> types = AllStepTypes();
  const Graph graph = LoadPipeline(folder / "p.yaml", {}, types, {}, nullptr);
  std::stop_source stop;
  std::thread asker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop.request_stop();
  });
  try {
    PlanRun(graph, std::nullopt, stop.get_token());
    ADD_FAILURE() << "planned";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled) << error.message();
  }
  asker.join();
}

TEST(Examples, TheReadmeShowsOneAsItIs) {
  const std::string readme = ReadFile(kSource / "README.md", kTextBytesMax);
  const size_t begin = readme.find("```yaml\n") + 8;
  const std::string shown = readme.substr(begin, readme.find("```\n", begin) - begin);
  EXPECT_THAT(ReadFile(kSource / "examples/answers.yaml", kTextBytesMax), HasSubstr(shown));
}

TEST(ConfiguredModels, AnEagerModelIsLoadedBeforeAnyoneAsks) {
  PipelineConfig config;
  config.models.emplace_back().name = "m";
  config.models[0].path = "/there/is/no/such/model";
  ConfiguredModels models(config, {});
  EXPECT_NO_THROW(models.LoadEager());
  config.models[0].load_policy = LoadPolicy::kEager;
  ConfiguredModels eager(config, {});
  EXPECT_THROW(eager.LoadEager(), Error);
}

TEST(ConfiguredModels, RefuseWhatThisBuildCannotDo) {
  const auto refusal = [](const auto& change) {
    PipelineConfig config;
    config.models.emplace_back().name = "m";
    change(config.models[0]);
    try {
      const ConfiguredModels models(config, {});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      return error.message();
    }
    return std::string();
  };
  EXPECT_EQ(refusal([](ModelConfig&) {}), "");
  EXPECT_THAT(refusal([](ModelConfig& m) { m.shared_instance = false; }), HasSubstr("use shared"));
  EXPECT_THAT(refusal([](ModelConfig& m) { m.device_map = "balanced"; }), HasSubstr("use auto"));
  EXPECT_THAT(refusal([](ModelConfig& m) { m.dtype = "f16"; }), HasSubstr("use auto"));
  EXPECT_THAT(refusal([](ModelConfig& m) {
                m.openai = {{"model", "x"}};
              }),
              HasSubstr("remote models"));
}

// A pipeline whose models can be told not to open is not valid.
TEST(CheckModel, SaysWhatCannotBeOpened) {
  const auto problems_of = [](const auto& change) {
    ModelConfig model;
    model.name = "m";
    model.path = kSource.string();
    change(model);
    Problems problems;
    CheckModel(model, problems);
    std::string text;
    for (const Problem& problem : problems.items()) text += ProblemText(problem) + "\n";
    return text;
  };
  const auto with_path = [&](const char* path) {
    return problems_of([path](ModelConfig& m) { m.path = path; });
  };
  EXPECT_EQ(problems_of([](ModelConfig&) {}), "");
  EXPECT_THAT(with_path("smollm2-135m-instuct"), HasSubstr("did you mean 'smollm2-135m-instruct'"));
  EXPECT_THAT(with_path("smollm2-135m-instuct"), testing::Not(HasSubstr("warning")));
  EXPECT_THAT(with_path("./no/such/model.gguf"), HasSubstr("no model at './no/such/model.gguf'"));
  EXPECT_THAT(with_path("/no/such/folder"), HasSubstr("no model at"));
  // It may be there when the run begins.
  EXPECT_THAT(with_path("some-org/some-model"),
              testing::AllOf(testing::StartsWith("warning: model 'm'"), HasSubstr("retort pull")));
  EXPECT_THAT(problems_of([](ModelConfig& m) { m.device_map = "cuda"; }), HasSubstr("use auto"));
  EXPECT_THAT(problems_of([](ModelConfig& m) { m.dtype = "fp16"; }), HasSubstr("use auto"));
  EXPECT_THAT(problems_of([](ModelConfig& m) { m.engine.max_num_seqs = 513; }),
              HasSubstr("max_batch_tokens is 512, which is less than one for each"));
  EXPECT_EQ(problems_of([](ModelConfig& m) { m.engine.max_num_seqs = 512; }), "");
}

}  // namespace
}  // namespace retort
