// After an edit, exactly what it concerns runs again: the engine's log against a run from nothing.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <sstream>
#include <tuple>

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
  std::string dispatch_level = "";  // by the environment; empty: the best
};

struct RunResult {
  int exit_status = 0;  // 1: some rows failed
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
  if (!version.dispatch_level.empty()) ::setenv("RETORT_CPU", version.dispatch_level.c_str(), 1);
  const Ended ended = RunRetort(version.subject.Arguments(folder, 1000, more), folder);
  if (!version.dispatch_level.empty()) ::unsetenv("RETORT_CPU");
  EXPECT_LE(ended.exit_status, 1) << ended.output;
  RunResult result;
  result.exit_status = ended.exit_status;
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
  std::string what;
  std::function<void(Version&, const fs::path& folder)> apply;
  // Rows that ask the model again: evolve_instructions, score_complexity, evolve_responses,
  // score_quality, embed. A seed row becomes 3 instructions, and each of them 2 conversations.
  // Behind the first step that the edit concerns, a trained model may give some rows the answer
  // they had: those are not asked about further, so there the number is the most there can be.
  std::vector<size_t> num_rows;
  // Also behind a tiny model.
  bool answers_may_agree = false;
};

constexpr size_t kSeeds = 4;
constexpr const char* kSteps[] = {"evolve_instructions", "score_complexity", "evolve_responses",
                                  "score_quality", "embed"};

std::vector<Edit> Edits() {
  const auto set = [](const char* setting) {
    return [setting](Version& version, const fs::path&) { version.more = {"--set", setting}; };
  };
  constexpr size_t n = kSeeds;
  std::vector<Edit> edits = {
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
      {"an equal copy of the model",
       [](Version& version, const fs::path& folder) {
         const fs::path copy = folder / "copy";
         fs::copy(version.subject.model, copy, fs::copy_options::recursive);
         version.more = {"--set", "models.judge.path=" + copy.string()};
       },
       {0, 0, 0, 0, 0}},
      {"the dispatch level",
       [](Version& version, const fs::path&) { version.dispatch_level = "scalar"; },
       {n, n, 3 * n, 3 * n, 6 * n}},
      {"the number of threads",
       [](Version& version, const fs::path&) {
         version.more = {"--threads", "1"};
       },
       {0, 0, 0, 0, 0}},
      // The same rows are asked, and the column `model_name` holds the new name. It is part of the
      // rows that later steps are made of, and so of their draws.
      {"the model's name",
       [](Version& version, const fs::path& folder) {
         std::string text = FileText(version.subject.pipeline);
         const auto replace_all = [](std::string& in, const std::string& from,
                                     const std::string& to) {
           for (size_t at = 0; (at = in.find(from, at)) != std::string::npos; at += to.size()) {
             in.replace(at, from.size(), to);
           }
         };
         replace_all(text, "judge", "arbiter");
         WriteText(folder / "renamed.yaml", text);
         version.subject.pipeline = folder / "renamed.yaml";
         for (std::string& setting : version.subject.settings) {
           if (setting.starts_with("models.judge")) setting.replace(7, 5, "arbiter");
         }
       },
       {0, 0, 3 * n, 3 * n, 6 * n},
       true},
  };
  return edits;
}

// A setting of a model: `models.judge.` before it.
struct ModelSetting {
  const char* key;    // as the pipeline file's reader names it
  const char* value;  // another than the default, and than the subject's; null: this build refuses
                      // all others
  enum { kNoAnswer, kAllAnswers, kSomeAnswers } changes;
};

// Every setting of a model and its engine.
constexpr ModelSetting kModelSettings[] = {
    {"path", nullptr, ModelSetting::kNoAnswer},  // "the model file" below
    {"openai", nullptr, ModelSetting::kNoAnswer},
    {"device_map", nullptr, ModelSetting::kNoAnswer},
    {"dtype", nullptr, ModelSetting::kNoAnswer},
    {"instance", nullptr, ModelSetting::kNoAnswer},
    {"load", "{policy: pinned, keep_alive: 1s}", ModelSetting::kNoAnswer},
    {"max_num_seqs", "5", ModelSetting::kNoAnswer},
    {"max_batch_tokens", "48", ModelSetting::kNoAnswer},
    {"prefill_chunk", "7", ModelSetting::kNoAnswer},
    {"threads", "1", ModelSetting::kNoAnswer},
    {"kv_cache", "16MiB", ModelSetting::kNoAnswer},
    {"context", "500", ModelSetting::kNoAnswer},  // see AContextConcernsTheRowsThatReachIt
    {"prefix_cache", "false", ModelSetting::kNoAnswer},
    {"kv_format", "f32", ModelSetting::kAllAnswers},
    {"kv_format", "int8", ModelSetting::kAllAnswers},
    {"kv_format", "bf16", ModelSetting::kNoAnswer},  // which is what auto means
    {"compute", "exact", ModelSetting::kAllAnswers},
    {"compute", "auto", ModelSetting::kNoAnswer},
    {"generation.temperature", "0.5", ModelSetting::kAllAnswers},
    {"generation.top_k", "40", ModelSetting::kAllAnswers},
    {"generation.top_p", "0.5", ModelSetting::kAllAnswers},
    {"generation.min_p", "0.02", ModelSetting::kAllAnswers},
    {"generation.max_new_tokens", "12", ModelSetting::kAllAnswers},
    {"generation.seed", "5", ModelSetting::kAllAnswers},
    // The requests are others, the texts need not be: what follows may be asked already.
    {"generation.stop", "['#%#']", ModelSetting::kSomeAnswers},
    {"generation.ignore_eos", "false", ModelSetting::kSomeAnswers},
};

std::vector<Edit> ModelSettingEdits() {
  constexpr size_t n = kSeeds;
  std::vector<Edit> edits;
  for (const ModelSetting& setting : kModelSettings) {
    if (setting.value == nullptr) continue;
    const std::string text = std::string("models.judge.") + setting.key + "=" + setting.value;
    Edit edit{text,
              [text](Version& version, const fs::path&) {
                version.more = {"--set", text};
              },
              {n, n, 3 * n, 3 * n, 6 * n},
              setting.changes == ModelSetting::kSomeAnswers};
    if (setting.changes == ModelSetting::kNoAnswer) edit.num_rows.assign(5, 0);
    edits.push_back(std::move(edit));
  }
  return edits;
}

// What a misspelt key is told to be one of. Commas and spaces part the names.
std::set<std::string> NamesBehind(const std::string& text, const std::string& before) {
  std::set<std::string> names;
  const size_t at = text.find(before);
  if (at == std::string::npos) return names;
  std::istringstream line(text.substr(at + before.size(), text.find('\n', at) - at));
  for (std::string name; std::getline(line, name, ',');) {
    name.erase(0, name.find_first_not_of(' '));
    names.insert(name.substr(0, name.find_first_of(" \n.;)'")));
  }
  return names;
}

TEST(Edits, HaveALineForEverySetting) {
  std::string why;
  const auto subject = FindSubject(why);
  if (!subject) GTEST_SKIP() << why;
  std::set<std::string> known;
  std::set<std::string> known_of_generation;
  for (const ModelSetting& setting : kModelSettings) {
    const std::string key = setting.key;
    const size_t dot = key.find('.');
    known.insert(key.substr(0, dot));
    if (dot != std::string::npos) known_of_generation.insert(key.substr(dot + 1));
  }
  for (const auto& [prefix, expected] :
       {std::pair{"models.judge.", known}, {"models.judge.generation.", known_of_generation}}) {
    ScratchFolder folder;
    const Ended ended =
        RunRetort({"validate", subject->pipeline.string(), "--set", std::string(prefix) + "zzzz=1"},
                  folder.path());
    EXPECT_EQ(ended.exit_status, 2);
    EXPECT_EQ(NamesBehind(ended.output, "it knows "), expected) << ended.output;
  }
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
  std::vector<Edit> edits = Edits();
  for (Edit& edit : ModelSettingEdits()) edits.push_back(std::move(edit));
  for (const Edit& edit : edits) {
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
      answers_may_agree =
          answers_may_agree || ((!subject->tiny || edit.answers_may_agree) && expected > 0);
      std::cout << " " << num_rows;
    }
    std::cout << "\n";
  }
}

// A context matters to those rows alone whose prompt and answer could pass it, whether it is asked
// for or what the budget of keys and values holds. They are asked again under each, and no more
// when an earlier one comes back.
TEST(Edits, AContextConcernsTheRowsThatReachIt) {
  std::string why;
  const auto subject = FindSubject(why);
  if (!subject) GTEST_SKIP() << why;
  if (!subject->tiny) GTEST_SKIP() << "made for a context of 512 tokens";
  ScratchFolder folder;
  const fs::path pipeline = folder.path() / "p.yaml";
  WriteText(pipeline, "name: p\nmodels: {m: {path: " + subject->model.string() +
                          ", kv_cache: 8MiB, generation: {max_new_tokens: 100, ignore_eos: true}}}"
                          "\nsteps:\n- {name: rows, type: LoadDataFromDicts, data: [{instruction: "
                          "short}, {instruction: " +
                          std::string(150, 'x') +
                          "}]}\n- {name: answer, type: TextGeneration, llm: m}\n");
  const auto run = [&](const std::string& setting, bool cached) {
    const fs::path place = folder.path() / (cached ? "cached" : "fresh");
    fs::remove_all(place / "out");
    std::vector<std::string> arguments = {"run",
                                          pipeline.string(),
                                          "--quiet",
                                          "--set",
                                          "models.m." + setting,
                                          "--cache",
                                          (place / "cache.sqlite").string(),
                                          "--output",
                                          (place / "out").string()};
    if (!cached) arguments.emplace_back("--no-cache");
    fs::create_directory(place);
    const Ended ended = RunRetort(arguments, place);
    EXPECT_EQ(ended.exit_status, 0) << ended.output;
    const Json step = RunJson(place).at("steps").at(1);
    return std::tuple(FileText(place / "out" / "answer.jsonl"), step.at("requests").get<int>(),
                      step.at("requests_cached").get<int>(), step.at("rows_cached").get<int>());
  };
  struct Line {
    const char* setting;
    int num_requests;         // of the model
    int num_requests_cached;  // of rows that are not kept as a whole
    int num_rows_cached;
  };
  const Line lines[] = {
      {"context=512", 2, 0, 0}, {"context=512", 0, 0, 2},   {"context=200", 1, 0, 1},
      {"context=200", 0, 1, 1}, {"context=210", 1, 0, 1},   {"context=200", 0, 1, 1},
      {"context=512", 0, 0, 2}, {"kv_cache=8MiB", 0, 0, 2}, {"context=450", 0, 0, 2},
  };
  std::set<std::string> outputs;
  for (const Line& line : lines) {
    SCOPED_TRACE(line.setting);
    const auto [output, num_requests, num_requests_cached, num_rows_cached] =
        run(line.setting, true);
    EXPECT_TRUE(output == std::get<0>(run(line.setting, false))) << "a stale row";
    EXPECT_EQ(num_requests, line.num_requests);
    EXPECT_EQ(num_requests_cached, line.num_requests_cached);
    EXPECT_EQ(num_rows_cached, line.num_rows_cached);
    outputs.insert(output);
  }
  EXPECT_EQ(outputs.size(), 3u);
}

}  // namespace
}  // namespace retort
