// After an edit, exactly what it concerns runs again: the engine's log against a run from nothing.
#include <gtest/gtest.h>

#include <functional>
#include <iostream>

#include "tests/acceptance/retort_process.h"
#include "tests/acceptance/subject.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// What a run of the pipeline may vary in.
struct Version {
  Subject subject;
  fs::path seeds;
  std::vector<std::string> more;
};

struct RunResult {
  std::string output;
  RowsOfStep rows;  // by the engine's log
  std::map<std::string, std::string> tag_of_id;
  std::map<std::string, int> num_requests;  // by the engine's log
};

// Runs in `folder` (its cache stays), checks the log against the report.
RunResult RunVersion(const Version& version, const fs::path& folder) {
  fs::remove(folder / "log");
  fs::remove_all(folder / "out");
  std::vector<std::string> more = {"--input", version.seeds.string()};
  more.insert(more.end(), version.more.begin(), version.more.end());
  const Ended ended = RunRetort(version.subject.Arguments(folder, 1000, more), folder);
  EXPECT_EQ(ended.exit_status, 0) << ended.output;
  RunResult result;
  result.output = FileText(OutputFile(folder));
  for (const EngineEvent& event : ReadEngineLog(folder / "log")) {
    if (event.event != "start") continue;
    result.rows[event.Step()].insert(event.tag.substr(event.tag.find('/') + 1));
    result.tag_of_id[event.id] = event.tag;
    ++result.num_requests[event.Step()];
  }
  const Json report = RunJson(folder);
  EXPECT_EQ(report.at("steps").size(), 10u);
  for (const Json& step : report.at("steps")) {
    const auto name = step.at("name").get<std::string>();
    EXPECT_EQ(step.at("requests").get<int>(), result.num_requests[name]) << name;
  }
  return result;
}

// What the run `edited` from nothing asks and the run `before` did not.
RowsOfStep NewRows(const RunResult& edited, const RunResult& before) {
  RowsOfStep rows;
  for (const auto& [id, tag] : edited.tag_of_id) {
    if (before.tag_of_id.contains(id)) continue;
    rows[tag.substr(0, tag.find('/'))].insert(tag.substr(tag.find('/') + 1));
  }
  return rows;
}

// One bit of the last weight.
void FlipALastBit(const fs::path& file) {
  std::string bytes = FileText(file);
  ASSERT_GT(bytes.size(), 4u);
  bytes[bytes.size() - 4] = static_cast<char>(bytes[bytes.size() - 4] ^ 1);
  fs::permissions(file, fs::perms::owner_all, fs::perm_options::add);
  WriteText(file, bytes);
}

// A copy of the model with one bit changed.
fs::path OtherModel(const fs::path& model, const fs::path& folder) {
  const fs::path copy = folder / ("other-" + model.filename().string());
  fs::copy(model, copy, fs::copy_options::recursive);
  FlipALastBit(fs::is_directory(copy) ? copy / "model.safetensors" : copy);
  return copy;
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

struct Edit {
  const char* what;
  std::function<void(Version&, const fs::path& folder)> apply;
  // Rows that ask the model again: evolve_instructions, score_complexity, evolve_responses,
  // score_quality, embed. A seed row becomes 3 instructions, and each of them 2 conversations.
  // Behind the first step that the edit concerns, a trained model may give some rows the answer
  // they had: those are not asked about further, so there the number is the most there can be.
  std::vector<size_t> num_rows;
};

constexpr size_t kSeeds = 4;
constexpr const char* kSteps[] = {"evolve_instructions", "score_complexity", "evolve_responses",
                                  "score_quality", "embed"};

std::vector<Edit> Edits() {
  const auto set = [](const char* setting) {
    return [setting](Version& version, const fs::path&) { version.more = {"--set", setting}; };
  };
  constexpr size_t n = kSeeds;
  return {
      {"nothing", [](Version&, const fs::path&) {}, {0, 0, 0, 0, 0}},
      // The conversations with the unchanged responses are asked the same question as before.
      {"a parameter of a middle step",
       set("evolve_responses.num_evolutions=2"),
       {0, 0, 3 * n, 3 * n, 6 * n}},
      {"one seed row",
       [](Version& version, const fs::path& folder) {
         WriteText(folder / "other.jsonl", Replaced(FileText(version.seeds), "bread", "cheese"));
         version.seeds = folder / "other.jsonl";
       },
       {1, 1, 3, 3, 6}},
      {"the prompt of the last scorer",
       set("score_quality.template='Grade {{ instruction }}: {{ response }}'"),
       {0, 0, 0, 3 * n, 0}},
      // Its scores are part of what the rows behind it are made of, and so are their draws.
      {"the prompt of the first scorer",
       set("score_complexity.template='Grade {{ instruction }}'"),
       {0, n, 3 * n, 3 * n, 3 * n}},
      {"the model file",
       [](Version& version, const fs::path& folder) {
         version.more = {"--set",
                         "models.judge.path=" + OtherModel(version.subject.model, folder).string()};
       },
       {n, n, 3 * n, 3 * n, 6 * n}},
      {"the run's seed",
       [](Version& version, const fs::path&) {
         version.more = {"--seed", "43"};
       },
       {n, n, 3 * n, 3 * n, 6 * n}},
      {"a parameter without a model", set("select.data_budget=3"), {0, 0, 0, 0, 0}},
      {"a step's name",
       [](Version& version, const fs::path& folder) {
         const std::string text = FileText(version.subject.pipeline);
         WriteText(folder / "renamed.yaml", Replaced(text, "name: conversation", "name: talk"));
         version.subject.pipeline = folder / "renamed.yaml";
       },
       {0, 0, 0, 0, 0}},
      {"the name of a step that asks",
       [](Version& version, const fs::path& folder) {
         const std::string text = FileText(version.subject.pipeline);
         WriteText(folder / "renamed.yaml", Replaced(text, "name: embed", "name: vectors"));
         version.subject.pipeline = folder / "renamed.yaml";
       },
       {0, 0, 0, 0, 0}},
  };
}

TEST(Edits, RunAgainExactlyWhatTheyConcern) {
  std::string why;
  const auto subject = FindSubject(why);
  if (!subject) GTEST_SKIP() << why;
  ScratchFolder first;
  Version original{*subject, first.path() / "seeds.jsonl", {}};
  WriteText(original.seeds,
            "{\"prompt\": \"Say why bread rises.\"}\n{\"prompt\": \"Name three rivers.\"}\n"
            "{\"prompt\": \"Sort 4, 2, 9.\"}\n{\"prompt\": \"Greet a new neighbour.\"}\n");
  fs::create_directory(first.path() / "cached");
  const RunResult before = RunVersion(original, first.path() / "cached");
  ASSERT_FALSE(before.output.empty());
  for (const Edit& edit : Edits()) {
    SCOPED_TRACE(edit.what);
    ScratchFolder folder;
    Version version = original;
    edit.apply(version, folder.path());
    fs::create_directory(folder.path() / "fresh");
    const RunResult fresh = RunVersion(version, folder.path() / "fresh");
    fs::copy(first.path() / "cached", folder.path() / "cached", fs::copy_options::recursive);
    const RunResult again = RunVersion(version, folder.path() / "cached");
    EXPECT_TRUE(again.output == fresh.output) << "a stale row";
    EXPECT_EQ(again.rows, NewRows(fresh, before));
    std::cout << edit.what << ":";
    bool answers_may_agree = false;
    for (size_t i = 0; i < std::size(kSteps); ++i) {
      const auto found = again.rows.find(kSteps[i]);
      const size_t num_rows = found == again.rows.end() ? 0 : found->second.size();
      const size_t expected = edit.num_rows.at(i);
      EXPECT_LE(num_rows, expected) << kSteps[i];
      if (!answers_may_agree) {
        EXPECT_EQ(num_rows, expected) << kSteps[i];
      }
      answers_may_agree = answers_may_agree || (!subject->tiny && expected > 0);
      std::cout << " " << num_rows;
    }
    std::cout << "\n";
  }
}

}  // namespace
}  // namespace retort
