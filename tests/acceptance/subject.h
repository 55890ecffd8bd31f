#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/json.h"

namespace retort {

// What the acceptance tests run: examples/deita.yaml on a model. By default that is a tiny one of
// the shared data, with prompts that fit into its context; with RETORT_ACCEPTANCE_MODEL (a .gguf
// file or a folder) it is that model, with the file's own prompts and sizes.
struct Subject {
  std::filesystem::path pipeline;
  std::filesystem::path model;
  std::vector<std::string> settings;  // "--set", "x=y", ...
  bool tiny = true;
  int max_num_seqs = 2;

  // `retort run` with outputs, cache and log in `folder`, unless `more` says where.
  std::vector<std::string> Arguments(const std::filesystem::path& folder, int num_rows,
                                     const std::vector<std::string>& more = {}) const;
};

// Nothing, with the reason in `why`, where the data is absent.
std::optional<Subject> FindSubject(std::string& why);

// A number that shortens or lengthens the tests.
int Setting(const char* variable, int value_if_unset);

// The engine's log of one process.
struct EngineEvent {
  std::string event;
  std::string id;
  std::string tag;  // step/row

  std::string Step() const { return tag.substr(0, tag.find('/')); }
};
// Whole lines only: a killed process may leave a part of one.
std::vector<EngineEvent> ReadEngineLog(const std::filesystem::path& path);

// step → rows it asked the model about.
using RowsOfStep = std::map<std::string, std::set<std::string>>;

std::filesystem::path OutputFile(const std::filesystem::path& folder);
Json RunJson(const std::filesystem::path& folder);

}  // namespace retort
