// Runs every *.case file of this folder; README.md says how one is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/llm/scripted_model.h"
#include "retort/pipeline/executor.h"
#include "retort/steps/step_list.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kFolder = fs::path(RETORT_SOURCE_DIR) / "tests/scenarios";

struct Section {
  std::string name;  // "output"
  std::string argument;
  std::string text;
};

std::vector<Section> ReadSections(const fs::path& path) {
  std::vector<Section> sections;
  std::istringstream text(ReadFile(path, 1 << 20));
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("== ")) {
      const size_t space = line.find(' ', 3);
      Section section;
      section.name = line.substr(3, space - 3);
      if (space != std::string::npos) section.argument = line.substr(space + 1);
      sections.push_back(std::move(section));
    } else if (!sections.empty()) {
      sections.back().text += line + "\n";
    }
  }
  return sections;
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::string Without(std::string text, const std::string& part) {
  for (size_t at; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
  return text;
}

class OneModel : public ModelSource {
 public:
  explicit OneModel(std::shared_ptr<LanguageModel> model) : model_(std::move(model)) {}
  std::shared_ptr<LanguageModel> Acquire(const std::string&) override { return model_; }

 private:
  std::shared_ptr<LanguageModel> model_;
};

class Scenario : public ::testing::TestWithParam<std::string> {
 protected:
  Scenario() {
    types_.assign(StepList().begin(), StepList().end());
    types_.insert(types_.end(), TaskList().begin(), TaskList().end());
  }

  void Play(const std::vector<Section>& sections) {
    for (size_t i = 0; i < sections.size(); ++i) {
      const Section& section = sections[i];
      if (section.name == "pipeline") {
        Write("pipeline.yaml", section.text);
      } else if (section.name == "file") {
        Write(section.argument, section.text);
      } else if (section.name == "script") {
        script_ = ParseScript(ParseJson(section.text, "script"), "script");
      } else {
        if (!ran_) Run({});
        Check(section);
      }
    }
    if (!error_expected_) {
      EXPECT_EQ(error_, "");
    }
  }

 private:
  void Write(const std::string& name, const std::string& text) {
    ASSERT_EQ(name.find('/'), std::string::npos);
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }

  void Run(const ConfigOverrides& overrides) {
    ran_ = true;
    problems_.clear();
    warnings_.clear();
    error_.clear();
    error_expected_ = false;
    ScriptedOptions model_options;
    model_options.num_threads = 2;
    model_options.shuffle_seed = 11;
    const auto model = std::make_shared<ScriptedModel>(script_, model_options);
    OneModel models(model);
    try {
      Problems problems;
      PipelineConfig config = ReadConfig(dir_ / "pipeline.yaml", overrides, problems);
      const Graph graph = BuildGraph(std::move(config), types_, {}, problems);
      for (const Problem& problem : problems.items()) {
        problems_.push_back(Without(ProblemText(problem), dir_.string() + "/"));
      }
      if (!problems.ok()) return;
      RunOptions options;
      options.output_dir = dir_ / "out";
      options.cache_path = dir_ / "cache.sqlite";
      options.num_workers = 4;
      options.warn = [this](std::string_view line) { warnings_ += std::string(line) + "\n"; };
      outcome_ = std::string(RunOutcomeName(PipelineRun(graph, models, options).Execute().outcome));
    } catch (const Error& error) {
      error_ = Without(error.message(), dir_.string() + "/");
    }
    num_requests_ = model->num_calls();
  }

  void Check(const Section& section) {
    if (section.name == "again") {
      Run(LinesOf(section.text));
    } else if (section.name == "problems") {
      EXPECT_EQ(problems_, LinesOf(section.text));
      EXPECT_EQ(error_, "");
    } else if (section.name == "error") {
      error_expected_ = true;
      for (const std::string& line : LinesOf(section.text)) EXPECT_THAT(error_, HasSubstr(line));
      EXPECT_NE(error_, "");
    } else if (section.name == "outcome") {
      EXPECT_EQ(outcome_, LinesOf(section.text).at(0));
    } else if (section.name == "output") {
      CheckOutput(section);
    } else if (section.name == "failed") {
      CheckFailed(LinesOf(section.text));
    } else if (section.name == "warnings") {
      for (const std::string& line : LinesOf(section.text)) EXPECT_THAT(warnings_, HasSubstr(line));
    } else if (section.name == "requests") {
      EXPECT_EQ(std::to_string(num_requests_), LinesOf(section.text).at(0));
    } else {
      ADD_FAILURE() << "no such section: " << section.name;
    }
  }

  std::vector<std::string> OutputLines(const std::string& name) const {
    return LinesOf(ReadFile(dir_ / "out" / name, 1 << 20));
  }

  void CheckOutput(const Section& section) {
    std::vector<std::string> expected;
    for (const std::string& line : LinesOf(section.text)) {
      expected.push_back(DumpJson(ParseJson(line, "case")));
    }
    EXPECT_EQ(OutputLines(section.argument + ".jsonl"), expected);
  }

  void CheckFailed(const std::vector<std::string>& expected) {
    std::vector<std::string> lines;
    if (fs::exists(dir_ / "out/failed.jsonl")) lines = OutputLines("failed.jsonl");
    ASSERT_EQ(lines.size(), expected.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      const Json failure = ParseJson(lines[i], "failed.jsonl");
      std::vector<std::string> parts;
      std::string rest = expected[i];
      for (size_t at; (at = rest.find(" / ")) != std::string::npos; rest = rest.substr(at + 3)) {
        parts.push_back(rest.substr(0, at));
      }
      parts.push_back(rest);
      ASSERT_GE(parts.size(), 3u) << expected[i];
      EXPECT_EQ(failure.at("step"), parts[0]);
      EXPECT_EQ(failure.at("code"), parts[1]);
      EXPECT_THAT(failure.at("reason").get<std::string>(), HasSubstr(parts[2]));
      if (parts.size() > 3) {
        EXPECT_THAT(failure.at("raw").get<std::string>(), HasSubstr(parts[3]));
      }
    }
  }

  const ScratchFolder scratch_;
  const fs::path dir_ = scratch_.path();
  std::vector<StepType> types_;
  Script script_;
  bool ran_ = false;
  std::vector<std::string> problems_;
  std::string warnings_;
  std::string error_;
  bool error_expected_ = false;
  std::string outcome_;
  uint64_t num_requests_ = 0;
};

TEST_P(Scenario, Plays) { Play(ReadSections(kFolder / (GetParam() + ".case"))); }

std::vector<std::string> CaseNames() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".case") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Case, Scenario, ::testing::ValuesIn(CaseNames()),
                         [](const auto& info) { return info.param; });

TEST(Scenarios, AreThere) { EXPECT_GE(CaseNames().size(), 12u); }

}  // namespace
}  // namespace retort
