#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "retort/hub/http.h"
#include "retort/hub/hub.h"

namespace retort {

// Where models of the form "org/name" come from.
struct ModelHubOptions {
  std::string endpoint;  // "https://host", without a slash at the end
  HttpOptions http;
};

// $HF_ENDPOINT or the usual hub, $HF_TOKEN.
ModelHubOptions ModelHubFromEnvironment();

// PullModel for "org/name" or "org/name:PART".
//
// Asks ENDPOINT/api/models/ORG/NAME?blobs=true for the files, with size and SHA-256 of those in
// large file storage, and gets ENDPOINT/ORG/NAME/resolve/COMMIT/FILE: config, tokenizer and
// templates with model.safetensors or its shards; or, if there are none or PART is given, one .gguf
// file.
std::filesystem::path PullHubModel(std::string_view name, const std::filesystem::path& home,
                                   const ModelHubOptions& options,
                                   const PullProgressCallback& progress);

}  // namespace retort
