#include "tests/acceptance/subject.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "retort/base/shared_data_test.h"
#include "tests/acceptance/retort_process.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// A context of 512 tokens, most of them single bytes: prompts must be short. Random weights end no
// answer by themselves.
constexpr std::string_view kTinySettings[] = {
    "models.judge.kv_cache=8MiB",
    "models.judge.max_num_seqs=2",
    "models.judge.generation.max_new_tokens=16",
    "models.judge.generation.ignore_eos=true",
    "evolve_instructions.mutation_templates={A: 'Harder: {{ instruction }}', B: 'Deeper: {{ "
    "instruction }}'}",
    "evolve_responses.mutation_templates={A: '{{ instruction }} Better: {{ response }}'}",
    "score_complexity.template='Rate {{ instruction }}'",
    "score_quality.template='Rate {{ instruction }} {{ response }}'",
};

}  // namespace

std::vector<std::string> Subject::Arguments(const fs::path& folder, int num_rows,
                                            const std::vector<std::string>& more) const {
  std::vector<std::string> arguments = {"run", pipeline.string()};
  arguments.insert(arguments.end(), settings.begin(), settings.end());
  const std::pair<const char*, std::string> options[] = {
      {"--limit", std::to_string(num_rows)},
      {"--output", (folder / "out").string()},
      {"--cache", (folder / "cache.sqlite").string()},
      {"--engine-log", (folder / "log").string()}};
  for (const auto& [name, value] : options) {
    if (std::find(more.begin(), more.end(), name) != more.end()) continue;
    arguments.insert(arguments.end(), {name, value});
  }
  arguments.emplace_back("--quiet");
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::optional<Subject> FindSubject(std::string& why) {
  Subject subject;
  subject.pipeline = fs::path(RETORT_SOURCE_DIR) / "examples/deita.yaml";
  if (const char* model = std::getenv("RETORT_ACCEPTANCE_MODEL")) {
    subject.model = model;
    subject.tiny = false;
    subject.max_num_seqs = 32;
  } else {
    subject.model = SharedData() / "goldens/hf/llama-mha";
    for (const std::string_view setting : kTinySettings) {
      subject.settings.insert(subject.settings.end(), {"--set", std::string(setting)});
    }
  }
  if (!fs::exists(subject.model)) {
    why = "no model at " + subject.model.string() + ": set RETORT_SHARED";
    return std::nullopt;
  }
  subject.settings.insert(subject.settings.end(),
                          {"--set", "models.judge.path=" + subject.model.string()});
  return subject;
}

int Setting(const char* variable, int value_if_unset) {
  const char* text = std::getenv(variable);
  return text == nullptr ? value_if_unset : std::atoi(text);
}

std::vector<EngineEvent> ReadEngineLog(const fs::path& path) {
  const std::string text = FileText(path);
  std::vector<EngineEvent> events;
  std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
  for (std::string line; std::getline(lines, line);) {
    const Json json = ParseJson(line, path.string());
    events.push_back({json.at("event"), json.at("id"), json.at("tag")});
  }
  return events;
}

fs::path OutputFile(const fs::path& folder) { return folder / "out" / "select.jsonl"; }

Json RunJson(const fs::path& folder) {
  return ParseJson(FileText(folder / "out" / "run.json"), "run.json");
}

}  // namespace retort
