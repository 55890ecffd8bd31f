// Runs that are repeated, edited, crashed and killed: what is asked again, and what comes out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <mutex>
#include <set>
#include <thread>

#include "retort/base/random.h"
#include "retort/pipeline/ledger.h"
#include "retort/pipeline/run_harness_test.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using fake::FileText;
using fake::JsonLines;

LineageKey RequestRecordKey(const std::string& id) {
  Sha256 digest;
  return FinishKey(digest.Field("request").Field(id));
}

constexpr const char* kChain = R"(
seed: 1
models: {m: {path: tiny, generation: {temperature: 1}}}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: b}, {text: c}]}
  - {name: one, type: Ask, llm: m, output_mappings: {answer: first}}
  - {name: two, type: Ask, llm: m, prompt: "tell ", input_mappings: {text: first}}
)";

// What a run asks, "step:prompt" each, sorted.
std::string Asked(const Graph& graph, const Json& script, const fs::path& dir,
                  RunOptions options = {}) {
  const auto model = fake::MakeModel(script);
  fake::RunGraph(graph, model, dir, options);
  std::multiset<std::string> asked;
  for (const ScriptedModel::Call& call : model->calls()) {
    std::string text = call.prompt_text;
    text = text.substr(text.find('\n') + 1);
    asked.insert(call.tag.substr(0, call.tag.find('/')) + ":" + text.substr(0, text.find('\n')));
  }
  std::string all;
  for (const std::string& item : asked) all += item + "; ";
  return all;
}

Json ChainScript(const std::string& name) {
  return Json::parse(R"j({"name": ")j" + name +
                     R"j(", "rules": [{"match": "(?:ask|tell|say) (\\S+)", "reply": "$1!"}]})j");
}

TEST(Resume, AnEditAsksAgainExactlyWhatItChanges) {
  const std::string one = "one:ask a; one:ask b; one:ask c; ";
  const std::string two = "two:tell a!; two:tell b!; two:tell c!; ";
  struct Edit {
    const char* what;
    std::string from;
    std::string to;
    std::string asked;
  };
  const std::vector<Edit> edits = {
      {"nothing", "", "", ""},
      {"a parameter of the last step", "tell ", "say ", "two:say a!; two:say b!; two:say c!; "},
      {"a parameter of the first step", "{name: one, type: Ask, llm: m,",
       "{name: one, type: Ask, llm: m, prompt: \"say \",",
       "one:say a; one:say b; one:say c; " + two},
      {"one seed row", "{text: b}", "{text: d}", "one:ask d; two:tell d!; "},
      {"a row more, in front", "[{text: a}", "[{text: z}, {text: a}", "one:ask z; two:tell z!; "},
      {"an equal row more", "{text: c}]", "{text: c}, {text: c}]", "one:ask c; two:tell c!; "},
      {"a row less", "{text: a}, ", "", ""},
      {"the rows' order", "{text: a}, {text: b}", "{text: b}, {text: a}", ""},
      {"a step's name", "name: one", "name: uno", ""},
      {"on_error", "llm: m, output", "llm: m, on_error: drop, output", ""},
      {"the run's seed", "seed: 1", "seed: 2", one + two},
      {"the sampling", "temperature: 1", "temperature: 0.5", one + two},
      {"the sampling of one step", "prompt: \"tell \",",
       "prompt: \"tell \", generation: {top_k: 5},", two},
      {"use_cache of one step", "prompt: \"tell \",", "prompt: \"tell \", use_cache: false,", two},
      {"a column's name", "first", "primo", one + two},  // mappings are part of a step
  };
  for (const Edit& edit : edits) {
    fake::TempDir dir;
    EXPECT_EQ(Asked(fake::MakeGraph(kChain), ChainScript("m"), dir.path()), one + two);
    std::string yaml = kChain;
    for (size_t at = 0; !edit.from.empty() && (at = yaml.find(edit.from, at)) != std::string::npos;
         at += edit.to.size()) {
      yaml.replace(at, edit.from.size(), edit.to);
    }
    EXPECT_EQ(Asked(fake::MakeGraph(yaml), ChainScript("m"), dir.path()), edit.asked) << edit.what;
  }
}

TEST(Resume, AnotherModelOrAnotherVersionAsksAgain) {
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(kChain);
  const std::string all = Asked(graph, ChainScript("m"), dir.path());
  EXPECT_EQ(Asked(graph, ChainScript("n"), dir.path()), all);
  EXPECT_EQ(Asked(graph, ChainScript("m"), dir.path()), "");
  Graph newer = graph;
  StepType type = *graph.steps[2].type;
  type.version = 2;
  newer.steps[2].type = &type;
  EXPECT_EQ(Asked(newer, ChainScript("m"), dir.path()), "two:tell a!; two:tell b!; two:tell c!; ");
}

// A step whose answers are not kept may answer otherwise: what follows it must not be served what
// was made of the answer before.
TEST(Resume, AnotherAnswerOfAnUncachedStepIsFollowed) {
  fake::TempDir dir;
  std::string yaml = kChain;
  yaml.replace(yaml.find("type: Ask, llm: m, output"), 10, "type: Ask, use_cache: false,");
  const Graph graph = fake::MakeGraph(yaml);
  const std::string one = "one:ask a; one:ask b; one:ask c; ";
  EXPECT_EQ(Asked(graph, ChainScript("m"), dir.path()),
            one + "two:tell a!; two:tell b!; two:tell c!; ");
  EXPECT_EQ(Asked(graph, ChainScript("m"), dir.path()), one);
  const Json other = Json::parse(R"j({"name": "m", "rules": [
      {"match": "ask b", "reply": "new"}, {"match": "(?:ask|tell) (\\S+)", "reply": "$1!"}]})j");
  EXPECT_EQ(Asked(graph, other, dir.path()), one + "two:tell new; ");
  const std::vector<Json> rows = JsonLines(dir.path() / "out" / "two.jsonl");
  EXPECT_EQ(rows.at(1).at("answer"), "new!");
}

// What a small context cut is not served under a larger one, nor the other way round.
TEST(Resume, OutputsAreKeptForContextsThatHoldThem) {
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(R"(
models: {m: {path: tiny, generation: {max_new_tokens: 100}}}
steps:
  - {name: rows, type: Rows, data: [{text: short}, {text: a-word-that-is-longer-than-the-other-one}]}
  - {name: one, type: Ask, llm: m}
)");
  const auto cached = [&](int context_tokens_max) {
    ScriptedOptions options;
    options.context_tokens_max = context_tokens_max;
    const auto model = std::make_shared<ScriptedModel>(Script{"m", {}, "fine"}, options);
    const RunReport report = fake::RunGraph(graph, model, dir.path());
    return std::pair(report.progress.steps.at(1).rows_cached,
                     report.progress.steps.at(1).num_requests_cached);
  };
  using Counts = std::pair<uint64_t, uint64_t>;
  // An engine's request keys have the context in them where it matters; the script's have not, and
  // so the request is found whose row is not.
  EXPECT_EQ(cached(110), Counts(0, 0));
  EXPECT_EQ(cached(110), Counts(1, 1));
  EXPECT_EQ(cached(1000), Counts(1, 1));
  EXPECT_EQ(cached(1000), Counts(2, 0));
  EXPECT_EQ(cached(110), Counts(1, 1));
  EXPECT_EQ(cached(50), Counts(0, 2));
}

// Nothing is loaded for rows that the ledger has, nor for rows whose requests it has.
TEST(Resume, ARunFromTheLedgerAcquiresNoModel) {
  fake::TempDir dir;
  const auto run = [&](const std::string& yaml) {
    fake::OneModel models(fake::MakeModel(ChainScript("m")));
    const Graph graph = fake::MakeGraph(yaml);
    RunOptions options;
    options.output_dir = dir.path() / "out";
    options.cache_path = dir.path() / "cache.sqlite";
    const RunReport report = PipelineRun(graph, models, options).Execute();
    EXPECT_EQ(report.outcome, RunOutcome::kDone);
    EXPECT_EQ(report.progress.models.at(0).description.answers_key.size(), 64u);
    return models.num_loads.load();
  };
  std::string greedy = kChain;
  greedy.replace(greedy.find("temperature: 1"), 14, "temperature: 0");
  EXPECT_EQ(run(greedy), 1);
  EXPECT_EQ(run(greedy), 0);
  // Other rows with the same questions.
  EXPECT_EQ(run(R"(
models: {m: {path: tiny, generation: {temperature: 0}}}
steps:
  - {name: rows, type: Rows, data: [{word: c}, {word: a}]}
  - {name: one, type: Ask, llm: m, input_mappings: {text: word}}
)"),
            0);
}

// A model's files change: what was not committed yet never is, and the run says why.
TEST(Resume, AChangedModelStopsTheRunBeforeItsNextCommit) {
  struct Fragile : ScriptedModel {
    Fragile(std::atomic<int>& left)
        : ScriptedModel("fragile",
                        [&left](const Request& request, const std::string& text) {
                          --left;
                          return MakeCompletion("fine", std::get<Generation>(request.work).sampling,
                                                text);
                        }),
          left_(left) {}
    void CheckUnchanged() const override {
      if (left_ <= 0) Throw(ErrorCode::kCorrupt, "'weights' changed while it was in use");
    }
    std::atomic<int>& left_;
  };
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(kChain);
  std::atomic<int> left = 2;
  RunOptions options;
  options.num_workers = 1;
  try {
    fake::RunGraph(graph, std::make_shared<Fragile>(left), dir.path(), options);
    ADD_FAILURE() << "a changed model went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_EQ(error.message(), "'weights' changed while it was in use");
  }
  EXPECT_EQ(left, 0);
  left = 100;
  fake::RunGraph(graph, std::make_shared<Fragile>(left), dir.path(), options);
  EXPECT_EQ(left, 100 - 5) << "one answer was told before the change, and is kept";
}

TEST(Resume, GreedyAnswersDoNotDependOnTheSeed) {
  fake::TempDir dir;
  std::string yaml = kChain;
  yaml.replace(yaml.find("temperature: 1"), 14, "temperature: 0");
  const Graph graph = fake::MakeGraph(yaml);
  EXPECT_NE(Asked(graph, ChainScript("m"), dir.path()), "");
  RunOptions options;
  options.seed = 99;
  EXPECT_EQ(Asked(graph, ChainScript("m"), dir.path(), options), "");
}

// Whether the equal question is of the same row, in flight, or answered long ago.
TEST(Resume, EqualQuestionsAreAskedOnce) {
  fake::TempDir dir;
  std::string yaml = kChain;
  yaml.replace(yaml.find("temperature: 1"), 14, "temperature: 0");
  std::string rows = "[{text: a}";
  for (int i = 0; i < 300; ++i) rows += ", {text: a}";
  yaml.replace(yaml.find("[{text: a}"), 10, rows);
  const std::string once =
      "one:ask a; one:ask b; one:ask c; two:tell a!; two:tell b!; two:tell c!; ";
  EXPECT_EQ(Asked(fake::MakeGraph(yaml), ChainScript("m"), dir.path()), once);
  EXPECT_EQ(JsonLines(dir.path() / "out" / "two.jsonl").size(), 303u);
}

TEST(Resume, FailuresAreTriedAgainAndNothingElse) {
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(kChain);
  const Json failing = Json::parse(R"j({"name": "m", "rules": [
      {"match": "ask b", "error": "exhausted", "message": "no room"},
      {"match": "(?:ask|tell) (\\S+)", "reply": "$1!"}]})j");
  Asked(graph, failing, dir.path());
  EXPECT_EQ(Asked(graph, ChainScript("m"), dir.path()), "one:ask b; two:tell b!; ");
  EXPECT_EQ(JsonLines(dir.path() / "out" / "two.jsonl").at(1).at("answer"), "b!!");
}

// Whether a row's schema says what it means does not depend on what is kept of the row.
TEST(Resume, ARowsSchemaIsToldOfAgainWithTheRowsFromTheLedger) {
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(R"(
models: {m: {path: tiny}}
steps:
  - {name: rows, type: Rows, data: [{text: a, shape: {format: json, schema: {propertys: {}}}}]}
  - {name: one, type: Ask, llm: m, structured_output: {column: shape}}
)");
  const Json script = Json::parse(R"({"default": "4"})");
  for (int round = 0; round < 2; ++round) {
    std::string told;
    RunOptions options;
    options.warn = [&](std::string_view line) { told += line; };
    const auto model = fake::MakeModel(script);
    EXPECT_EQ(fake::RunGraph(graph, model, dir.path(), options).outcome, RunOutcome::kDone);
    EXPECT_THAT(told, testing::HasSubstr("did you mean 'properties'?")) << round;
    EXPECT_EQ(model->calls().size(), round == 0 ? 1u : 0u);
  }
  RunOptions strict;
  strict.strict = true;
  const auto model = fake::MakeModel(script);
  EXPECT_EQ(fake::RunGraph(graph, model, dir.path(), strict).rows_failed, 1u);
  EXPECT_TRUE(model->calls().empty());
}

TEST(Resume, NoCacheNeitherReadsNorWrites) {
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(kChain);
  fake::OneModel models(fake::MakeModel(ChainScript("m")));
  RunOptions options;
  options.output_dir = dir.path() / "out";
  PipelineRun(graph, models, options).Execute();
  EXPECT_FALSE(fs::exists(dir.path() / "cache.sqlite"));
}

// A step interrupted between two of its questions goes on with the second.
TEST(Resume, WithinAStepFinishedQuestionsAreKept) {
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}]}
  - {name: ask, type: Ask, llm: m, rounds: 3}
)");
  const Json failing = Json::parse(R"j({"name": "m", "rules": [
      {"match": "ask a!!", "error": "exhausted", "message": "no room"},
      {"match": "ask (\\S+)", "reply": "$1!"}]})j");
  EXPECT_EQ(Asked(graph, failing, dir.path()), "ask:ask a; ask:ask a!; ask:ask a!!; ");
  EXPECT_EQ(Asked(graph, ChainScript("m"), dir.path()), "ask:ask a!!; ");
}

// --- kill -9 ---------------------------------------------------------------------------------

constexpr const char* kKilled = R"(
seed: 3
models: {m: {path: tiny, generation: {temperature: 1}}}
steps:
  - {name: rows, type: Rows, count: 30}
  - {name: split, type: Split, parts: 2}
  - {name: one, type: Ask, llm: m, rounds: 2, input_mappings: {text: id}, output_mappings: {answer: first}}
  - {name: left, type: Ask, llm: m, after: one, input_mappings: {text: first}, output_mappings: {answer: value}}
  - {name: right, type: Ask, llm: m, after: one, prompt: "r ", input_mappings: {text: first}, output_mappings: {answer: r}}
  - {name: both, type: Merge, after: [left, right]}
  - {name: sort, type: Sort, keep: 40}
  - {name: last, type: Ask, llm: m, input_mappings: {text: r}}
)";

// Answers slowly with the request's digest, and writes each request down before it is told.
std::shared_ptr<ScriptedModel> LoggingModel(const fs::path& log, int delay_us) {
  ScriptedOptions options;
  options.num_threads = 2;
  options.shuffle_seed = 5;
  options.delay_us = delay_us;
  auto file = std::make_shared<AppendFile>(log);
  auto mutex = std::make_shared<std::mutex>();
  return std::make_shared<ScriptedModel>(
      "killed",
      [file, mutex](const Request& request, const std::string& text) {
        {
          std::lock_guard lock(*mutex);
          file->Append(request.id + "\n");
        }
        const auto& sampling = std::get<Generation>(request.work).sampling;
        return MakeCompletion(Sha256Hex(text + std::to_string(sampling.seed)).substr(0, 12),
                              sampling, text);
      },
      options);
}

std::vector<std::string> Lines(const fs::path& path) {
  std::vector<std::string> lines;
  std::istringstream text(FileText(path));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(Resume, KilledRunsLoseNothingAndRepeatOnlyWhatWasInFlight) {
  const Graph graph = fake::MakeGraph(kKilled);
  fake::TempDir whole;
  fake::RunGraph(graph, LoggingModel(whole.path() / "log", 0), whole.path());
  const std::string expected = FileText(whole.path() / "out" / "last.jsonl");
  ASSERT_EQ(std::count(expected.begin(), expected.end(), '\n'), 40);
  const size_t num_requests = Lines(whole.path() / "log").size();

  fake::TempDir dir;
  std::set<std::string> known;  // requests seen so far
  size_t num_asked = 0;
  int num_kills = 0;
  constexpr int kWorkers = 8;
  for (int attempt = 0;; ++attempt) {
    ASSERT_LT(attempt, 200);
    std::set<std::string> committed;
    if (fs::exists(dir.path() / "cache.sqlite")) {
      Ledger ledger(dir.path() / "cache.sqlite");
      for (const std::string& id : known) {
        if (ledger.Find(RequestRecordKey(id), RecordKind::kCompletion)) committed.insert(id);
      }
    }
    const fs::path log = dir.path() / fmt::format("log{}", attempt);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        RunOptions options;
        options.num_workers = kWorkers;
        fake::RunGraph(graph, LoggingModel(log, 500), dir.path(), options);
        ::_exit(0);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "run failed: %s\n", error.what());
        ::_exit(1);
      }
    }
    // Killed after some more questions than can be in flight, so that the kills spread over all
    // steps and an end comes on any machine.
    const size_t num_questions = kWorkers + 2 + RandomBits(7, static_cast<uint64_t>(attempt)) % 15;
    int status = 0;
    pid_t ended = 0;
    while (ended == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ended = ::waitpid(child, &status, WNOHANG);
      if (ended != 0 || Lines(log).size() < num_questions) continue;
      ::kill(child, SIGKILL);
      ended = ::waitpid(child, &status, 0);
    }
    ASSERT_EQ(ended, child);
    const std::string finished = FileText(dir.path() / "out" / "last.jsonl");
    EXPECT_TRUE(finished.empty() || finished == expected) << "half a file under its final name";
    if (fs::exists(log)) {
      for (const std::string& id : Lines(log)) {
        EXPECT_FALSE(committed.contains(id)) << "asked again after its commit: " << id;
        known.insert(id);
        ++num_asked;
      }
    }
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    ++num_kills;
  }
  EXPECT_EQ(FileText(dir.path() / "out" / "last.jsonl"), expected);
  EXPECT_GE(num_kills, 10);
  EXPECT_EQ(known.size(), num_requests);
  EXPECT_LE(num_asked, num_requests + static_cast<size_t>(num_kills * kWorkers));
}

// --- simulation ------------------------------------------------------------------------------

// A random graph of the fake steps that passes the checks.
std::string RandomPipeline(uint64_t seed) {
  uint64_t draw = 0;
  const auto pick = [&](uint64_t n) { return RandomBits(seed, draw++) % n; };
  std::string yaml = "seed: 4\nmodels: {m: {path: t, generation: {temperature: 1}}}\nsteps:\n";
  yaml += fmt::format("  - {{name: s0, type: Rows, count: {}}}\n", 1 + pick(20));
  size_t num_steps = 1;
  std::vector<std::string> columns = {"id"};
  for (int tries = 0; tries < 14; ++tries) {
    const std::string column = fmt::format("c{}", tries);
    const std::string on_error = pick(3) == 0 ? "drop" : "keep";
    std::string step = fmt::format("  - {{name: s{}, on_error: {}, ", num_steps, on_error);
    const std::string after = fmt::format("s{}", pick(3) == 0 ? pick(num_steps) : num_steps - 1);
    switch (pick(6)) {
      case 0:
      case 1:
        step += fmt::format(
            "type: Ask, llm: m, rounds: {}, after: {}, input_mappings: {{text: {}}}, "
            "output_mappings: {{answer: {}}}}}\n",
            1 + pick(3), after, columns[pick(columns.size())], column);
        break;
      case 2:
        step += fmt::format("type: Draw, after: {}, output_mappings: {{number: {}}}}}\n", after,
                            column);
        break;
      case 3:
        step += fmt::format("type: Split, parts: {}, after: {}, output_mappings: {{part: {}}}}}\n",
                            pick(3), after, column);
        break;
      case 4:
        step += fmt::format(
            "type: Sort, after: {}, keep: {}, input_mappings: {{value: {}}}, output_mappings: "
            "{{rows_seen: {}}}}}\n",
            after, 1 + pick(30), columns[pick(columns.size())], column);
        break;
      default:
        step += fmt::format("type: Merge, after: [s{}, s{}]}}\n", pick(num_steps), num_steps - 1);
        break;
    }
    Problems problems;
    static const std::vector<StepType> types = fake::Types();
    BuildGraph(ParseConfig(yaml + step, "r.yaml", {}, problems), types, {}, problems);
    if (!problems.ok()) continue;
    yaml += step;
    ++num_steps;
    columns.push_back(column);
  }
  return yaml;
}

// A world that fails: some answers are bad, some servers are away for a moment, some commits crash
// the run. Knows what was committed, and notices who asks for it again.
struct FailingWorld {
  explicit FailingWorld(uint64_t world_seed) : seed(world_seed) {}

  std::shared_ptr<ScriptedModel> Model(int num_threads, bool transient) {
    ScriptedOptions options;
    options.num_threads = num_threads;
    options.shuffle_seed = seed;
    return std::make_shared<ScriptedModel>(
        "sim",
        [this, transient](const Request& request, const std::string& text) {
          const auto& sampling = std::get<Generation>(request.work).sampling;
          const uint64_t fate = RequestRecordKey(request.id).Bits();
          {
            std::lock_guard lock(mutex);
            if (committed.contains(RequestRecordKey(request.id))) ++num_repeated;
            if (transient && fate % 40 == 1 && away.insert(request.id).second) {
              Throw(ErrorCode::kUnavailable, "away");
            }
          }
          if (fate % 16 == 0) return MakeCompletion("bad", sampling, text);
          if (fate % 16 == 1) Throw(ErrorCode::kExhausted, "too long");
          return MakeCompletion(fmt::format("{:x}", fate >> 40), sampling, text);
        },
        options);
  }

  LedgerOptions CrashingLedger(uint64_t attempt) {
    LedgerOptions options;
    auto commits = std::make_shared<uint64_t>(0);
    const uint64_t last = RandomBits(seed, attempt) % 12 + attempt;
    options.before_commit = [this, commits, last](const std::vector<LedgerRecord>& records) {
      if ((*commits)++ == last) Throw(ErrorCode::kIo, "simulated crash");
      std::lock_guard lock(mutex);
      for (const LedgerRecord& record : records) committed.insert(record.key);
    };
    return options;
  }

  uint64_t seed;
  std::mutex mutex;
  std::set<LineageKey> committed;
  std::set<std::string> away;
  int num_repeated = 0;
};

std::string AllOutputs(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".jsonl") {
      files[entry.path().filename().string()] = FileText(entry.path());
    }
  }
  std::string text;
  for (const auto& [name, content] : files) text += name + "\n" + content;
  return text;
}

TEST(Resume, SimulatedCrashesLoseAndDoubleNothing) {
  int num_crashes = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    const std::string yaml = RandomPipeline(seed);
    const Graph graph = fake::MakeGraph(yaml);
    FailingWorld calm(seed);
    fake::TempDir whole;
    RunOptions simple;
    simple.num_workers = 1;
    fake::RunGraph(graph, calm.Model(0, false), whole.path(), simple);
    const std::string expected = AllOutputs(whole.path() / "out");

    FailingWorld world(seed);
    fake::TempDir dir;
    for (uint64_t attempt = 0;; ++attempt) {
      ASSERT_LT(attempt, 100u) << yaml;
      RunOptions options;
      options.num_workers = 1 + static_cast<int>(seed % 7);
      options.ledger = world.CrashingLedger(attempt);
      try {
        fake::RunGraph(graph, world.Model(2, true), dir.path(), options);
        break;
      } catch (const Error& error) {
        ASSERT_EQ(error.message(), "simulated crash") << yaml;
        ++num_crashes;
      }
    }
    EXPECT_EQ(AllOutputs(dir.path() / "out"), expected) << yaml;
    // A bad answer is a failure of the row, but a finished generation: it is kept, too.
    EXPECT_EQ(world.num_repeated, 0) << yaml;
  }
  EXPECT_GT(num_crashes, 20);
}

}  // namespace
}  // namespace retort
