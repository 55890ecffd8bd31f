// Every step type: what it says of itself, and what it does with rows that hold anything.
#include "retort/cli/step_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "retort/base/error.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/llm/scripted_model.h"
#include "retort/pipeline/executor.h"
#include "retort/pipeline/input_kinds.h"
#include "retort/pipeline/step_help.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class StepTypes : public ::testing::Test {
 protected:
  StepTypes() { dir_ = scratch_.path(); }

  Graph Build(const std::string& yaml, Problems& problems) const {
    return BuildGraph(ParseConfig(yaml, dir_ / "p.yaml", {}, problems), types_, {}, problems);
  }

  const std::vector<StepType> types_ = AllStepTypes();
  const ScratchFolder scratch_;
  fs::path dir_;
};

Json ValueOf(InputKind type) { return type == InputKind::kTextList ? Json({"a", "b"}) : Json("a"); }

// A pipeline in which the type's example stands behind a source of the columns that it needs.
std::string AroundExample(const StepType& type) {
  std::string steps;
  if (type.kind != StepKind::kSource) {
    Json row = {{"other", 1}};
    const YamlNode node = ParseYaml(type.example, "example");
    Json values = Json::object();
    for (const ParamSpec& spec : type.params) values[std::string(spec.name)] = spec.default_value;
    if (!node.IsNull()) values.update(YamlToJson(node));
    for (const std::string& name : type.inputs(Params(values))) {
      row[name] = ValueOf(InputKindOf(type, name));
    }
    steps += "  - name: data\n    type: LoadDataFromDicts\n    data: [" + DumpJson(row) + "]\n";
    if (type.kind == StepKind::kJoin) {
      steps +=
          "  - {name: left, type: KeepColumns, columns: [other], after: data}\n"
          "  - {name: right, type: KeepColumns, columns: [other], after: data}\n";
    }
  }
  std::istringstream lines(StepExample(type));
  for (std::string line; std::getline(lines, line);) steps += "  " + line + "\n";
  return "models: {writer: tiny}\nsteps:\n" + steps;
}

TEST_F(StepTypes, EachHasAnExampleThatIsValid) {
  std::ofstream(dir_ / "seeds.jsonl") << R"({"instruction": "a"})"
                                      << "\n";
  for (const StepType& type : types_) {
    Problems problems;
    Build(AroundExample(type), problems);
    for (const Problem& problem : problems.items()) {
      if (problem.warning && problem.message.find("is used by no step") != std::string::npos) {
        continue;
      }
      ADD_FAILURE() << type.name << ": " << ProblemText(problem) << "\n" << AroundExample(type);
    }
  }
}

TEST_F(StepTypes, HelpShowsColumnsParametersKeysAndAnExample) {
  for (const StepType& type : types_) {
    const std::string help = StepHelp(type);
    for (const ParamSpec& param : type.params) {
      EXPECT_THAT(help, HasSubstr("    " + std::string(param.name) + " ("));
      EXPECT_FALSE(param.help.empty()) << type.name << "." << param.name;
    }
    EXPECT_THAT(help, HasSubstr("  outputs: "));
    EXPECT_THAT(help, HasSubstr("type: " + std::string(type.name)));
    EXPECT_EQ(help.find("    after (") != std::string::npos, type.kind != StepKind::kSource);
    // A join takes its branches' columns as they are.
    EXPECT_EQ(help.find("    output_mappings (") != std::string::npos,
              type.kind != StepKind::kJoin);
  }
}

// A key that `retort steps` shows is one that the reader of pipeline files takes, and no parameter
// of a type hides one.
TEST_F(StepTypes, KeysOfEveryStepAreKnownToTheReader) {
  for (const StepKey& key : StepKeys()) {
    Problems problems;
    const PipelineConfig config =
        ParseConfig("steps:\n  - {" + std::string(key.name) + ": ~}\n", "p.yaml", {}, problems);
    ASSERT_EQ(config.steps.size(), 1u) << key.name;
    EXPECT_TRUE(config.steps[0].params.empty()) << key.name;
    for (const StepType& type : types_) {
      for (const ParamSpec& param : type.params) EXPECT_NE(param.name, key.name) << type.name;
    }
  }
}

// Whatever a row holds in a task's or a step's column, its failure is the row's own: it names the
// column, and says what was expected and found. Never a fault of the program.
TEST_F(StepTypes, AnyValueInAnyInputIsTakenOrNamed) {
  const std::map<std::string, std::string> values = {
      {"42", "the number 42"},
      {"-1.5", "the number -1.5"},
      {"true", "the truth value true"},
      {"\"\"", "the text \"\""},
      {"\"text\"", "the text \"text\""},
      {"[]", "an empty list"},
      {"[1]", "the list [1]"},
      {"[\"a\"]", "the list [\"a\"]"},
      {"{}", "the object {}"},
      {"{\"a\": 1}", "the object {\"a\":1}"},
      {"[{\"role\": \"user\", \"content\": \"a\"}]", "the list [{"},
      {"[{\"role\": 1}]", "the list [{"},
      {"[null]", "the list [null]"}};
  struct Source : ModelSource {
    std::shared_ptr<LanguageModel> Acquire(const std::string&) override {
      return std::make_shared<ScriptedModel>("[1] Score: 3\n[2] Score: 4");
    }
  } models;
  int num_refused = 0;
  for (const StepType& type : types_) {
    if (type.kind != StepKind::kRow) continue;
    const YamlNode node = ParseYaml(type.example, "example");
    Json set = Json::object();
    for (const ParamSpec& spec : type.params) set[std::string(spec.name)] = spec.default_value;
    if (!node.IsNull()) set.update(YamlToJson(node));
    const std::vector<std::string> inputs = type.inputs(Params(set));
    for (const std::string& input : inputs) {
      for (const auto& [value, found] : values) {
        SCOPED_TRACE(fmt::format("{}.{} = {}", type.name, input, value));
        Json row = Json::object();
        for (const std::string& name : inputs) {
          row["c_" + name] = ValueOf(InputKindOf(type, name));
        }
        row["c_" + input] = Json::parse(value);
        Json mappings = Json::object();
        for (const std::string& name : inputs) mappings[name] = "c_" + name;
        std::string step;
        std::istringstream lines(StepExample(type));
        for (std::string line; std::getline(lines, line);) step += "  " + line + "\n";
        Problems problems;
        const Graph graph = Build(
            "models: {writer: tiny}\nsteps:\n  - name: data\n    type: LoadDataFromDicts\n"
            "    data: [" +
                DumpJson(row) + "]\n" + step + "    input_mappings: " + DumpJson(mappings) + "\n",
            problems);
        problems.ThrowIfAny();
        RunOptions options;
        options.output_dir = dir_ / "out";
        options.num_workers = 1;
        PipelineRun(graph, models, options).Execute();
        std::ifstream failed(dir_ / "out/failed.jsonl");
        std::string line;
        if (!std::getline(failed, line)) continue;
        ++num_refused;
        const Json failure = Json::parse(line);
        EXPECT_EQ(failure.at("code"), "invalid");
        const std::string reason = failure.at("reason");
        if (InputKindOf(type, input) == InputKind::kAny) continue;
        if (reason.find("empty") != std::string::npos && value == "\"\"") continue;
        EXPECT_THAT(reason, HasSubstr("'c_" + input + "' (the step's '" + input + "') must hold " +
                                      std::string(InputKindText(InputKindOf(type, input)))));
        EXPECT_THAT(reason, HasSubstr("found " + found));
      }
    }
  }
  EXPECT_GT(num_refused, 30);
}

}  // namespace
}  // namespace retort
