#include "retort/hub/model_hub.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <set>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"
#include "retort/base/mapped_file.h"
#include "retort/hub/install.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDefaultEndpoint = "https://huggingface.co";
constexpr uint64_t kListingBytesMax = uint64_t{64} << 20;
constexpr uint64_t kIndexBytesMax = uint64_t{64} << 20;
constexpr std::string_view kIndexName = "model.safetensors.index.json";
// Holds the commit that the files beside it are of.
constexpr std::string_view kRevisionName = ".revision";

// What is fetched beside safetensors weights, where the repository has it.
constexpr std::array<std::string_view, 14> kSideFiles = {
    "config.json",       "generation_config.json",  "tokenizer.json",     "tokenizer_config.json",
    "tokenizer.model",   "special_tokens_map.json", "added_tokens.json",  "vocab.json",
    "merges.txt",        "chat_template.jinja",     "chat_template.json", "quantize_config.json",
    "quant_config.json", "preprocessor_config.json"};

struct HubFile {
  std::string name;
  std::optional<uint64_t> size_bytes;  // nothing: not told
  std::string sha256;                  // of large files; empty: not told
  std::string git_blob_id;             // of the others; empty: not told
};

struct Listing {
  std::string revision = "main";
  std::vector<HubFile> files;

  const HubFile* Find(std::string_view name) const {
    const auto found = std::find_if(files.begin(), files.end(),
                                    [&](const HubFile& file) { return file.name == name; });
    return found == files.end() ? nullptr : &*found;
  }
};

bool IsHex(const std::string& text, size_t length) {
  return text.size() == length && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Files of a folder below are other variants of the model; names are used in URLs and paths as they
// are, so anything unusual is left out.
bool IsPlainName(const std::string& name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+";
  return !name.empty() && name[0] != '.' && name.size() <= 200 &&
         name.find_first_not_of(kAllowed) == std::string::npos;
}

HubFile ReadSibling(const Json& sibling, const std::string& url) {
  if (!sibling.is_object() || !sibling.contains("rfilename") || !sibling["rfilename"].is_string()) {
    Throw(ErrorCode::kCorrupt, "{}: each of \"siblings\" needs the string \"rfilename\"", url);
  }
  HubFile file;
  file.name = sibling["rfilename"].get<std::string>();
  if (sibling.contains("size") && sibling["size"].is_number_unsigned()) {
    file.size_bytes = sibling["size"].get<uint64_t>();
  }
  if (sibling.contains("blobId") && sibling["blobId"].is_string() &&
      IsHex(sibling["blobId"].get_ref<const std::string&>(), 40)) {
    file.git_blob_id = sibling["blobId"].get<std::string>();
  }
  if (sibling.contains("lfs") && sibling["lfs"].is_object()) {
    file.git_blob_id.clear();  // of the pointer that git keeps in its place
    const Json& lfs = sibling["lfs"];
    for (const char* member : {"sha256", "oid"}) {
      if (lfs.contains(member) && lfs[member].is_string() &&
          IsHex(lfs[member].get_ref<const std::string&>(), 64)) {
        file.sha256 = lfs[member].get<std::string>();
      }
    }
    if (lfs.contains("size") && lfs["size"].is_number_unsigned()) {
      file.size_bytes = lfs["size"].get<uint64_t>();
    }
  }
  return file;
}

Listing ListFiles(const std::string& repository, const ModelHubOptions& options) {
  const std::string url = options.endpoint + "/api/models/" + repository + "?blobs=true";
  const Json answer = ParseJson(HttpGet(url, kListingBytesMax, options.http), url);
  if (!answer.is_object() || !answer.contains("siblings") || !answer["siblings"].is_array()) {
    Throw(ErrorCode::kCorrupt, "{}: expected an object with the array \"siblings\"", url);
  }
  Listing listing;
  if (answer.contains("sha") && answer["sha"].is_string() &&
      IsHex(answer["sha"].get_ref<const std::string&>(), 40)) {
    listing.revision = answer["sha"].get<std::string>();  // all files of one commit
  }
  for (const Json& sibling : answer["siblings"]) {
    HubFile file = ReadSibling(sibling, url);
    if (IsPlainName(file.name)) listing.files.push_back(std::move(file));
  }
  return listing;
}

// Why these bytes are not the file; empty if as far as the hub told they are.
std::string Contradiction(const HubFile& file, const fs::path& path) {
  const MappedFile mapped(path);
  const uint64_t size = mapped.bytes().size();
  if (file.size_bytes && size != *file.size_bytes) {
    return fmt::format("{} bytes, expected {}", size, *file.size_bytes);
  }
  if (!file.sha256.empty()) {
    const std::string digest = Sha256().Add(mapped.bytes()).Hex();
    if (digest != file.sha256)
      return fmt::format("SHA-256 is {}, expected {}", digest, file.sha256);
  } else if (!file.git_blob_id.empty()) {
    const std::string id = GitBlobId(mapped.bytes());
    if (id != file.git_blob_id) {
      return fmt::format("its git blob is {}, expected {}", id, file.git_blob_id);
    }
  }
  return "";
}

class Puller {
 public:
  Puller(std::string repository, const ModelHubOptions& options, fs::path directory,
         const PullProgressCallback& progress)
      : repository_(std::move(repository)),
        options_(options),
        directory_(std::move(directory)),
        progress_(progress),
        listing_(ListFiles(repository_, options)) {}

  const std::string& revision() const { return listing_.revision; }

  void Pull(std::string_view part) {
    if (part.empty() && listing_.Find("model.safetensors") != nullptr) {
      PullSideFiles();
      return PullFile(*listing_.Find("model.safetensors"));
    }
    if (part.empty() && listing_.Find(kIndexName) != nullptr) {
      PullSideFiles();
      return PullShards();
    }
    PullFile(ChooseGguf(part));
  }

  // What an earlier pull left and this one did not ask for.
  void DropOtherFiles() const {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory_)) {
      const std::string name = entry.path().filename().string();
      if (name != kRevisionName && !pulled_.contains(name)) fs::remove_all(entry);
    }
  }

 private:
  void PullSideFiles() {
    for (std::string_view name : kSideFiles) {
      if (const HubFile* file = listing_.Find(name)) PullFile(*file);
    }
  }

  void PullShards() {
    PullFile(*listing_.Find(kIndexName));
    const fs::path index = directory_ / kIndexName;
    const Json json = ParseJson(ReadFile(index, kIndexBytesMax), index.string());
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
      Throw(ErrorCode::kCorrupt, "'{}': expected the object \"weight_map\"", index.string());
    }
    std::set<std::string> shards;
    for (const Json& shard : json["weight_map"]) {
      if (shard.is_string()) shards.insert(shard.get<std::string>());
    }
    for (const std::string& shard : shards) {
      const HubFile* file = listing_.Find(shard);
      if (file == nullptr) {
        Throw(ErrorCode::kCorrupt, "{} of '{}' names the shard '{}', which the repository lacks",
              kIndexName, repository_, shard);
      }
      PullFile(*file);
    }
  }

  const HubFile& ChooseGguf(std::string_view part) const {
    std::vector<const HubFile*> matches;
    std::string all;
    for (const HubFile& file : listing_.files) {
      if (!file.name.ends_with(".gguf")) continue;
      all += (all.empty() ? "" : ", ") + file.name;
      if (file.name.find(part) != std::string::npos) matches.push_back(&file);
    }
    if (matches.size() == 1) return *matches[0];
    if (all.empty()) {
      Throw(ErrorCode::kUnsupported, "'{}' has no model.safetensors, no {} and no .gguf file",
            repository_, kIndexName);
    }
    Throw(ErrorCode::kInvalid,
          "'{}' has several .gguf files; {} of them match '{}': name one as {}:PART, from {}",
          repository_, matches.size(), part, repository_, all);
  }

  // What an interrupted pull of the same commit left is checked as what comes now is.
  void PullFile(const HubFile& file) {
    pulled_.insert(file.name);
    const fs::path path = directory_ / file.name;
    const fs::path unverified = directory_ / (file.name + ".part");
    const bool can_be_checked = !file.sha256.empty() || !file.git_blob_id.empty();
    if (can_be_checked && fs::is_regular_file(fs::symlink_status(path)) &&
        Contradiction(file, path).empty()) {
      return;
    }
    fs::remove_all(path);
    if (!can_be_checked || !fs::is_regular_file(fs::symlink_status(unverified))) {
      fs::remove_all(unverified);
    }
    const bool was_begun = fs::exists(unverified);
    std::string contradiction = Download(file, unverified);
    if (!contradiction.empty() && was_begun) {  // perhaps only the part that was there is wrong
      fs::remove(unverified);
      contradiction = Download(file, unverified);
    }
    if (!contradiction.empty()) {
      fs::remove(unverified);
      Throw(ErrorCode::kCorrupt, "{}: {}", UrlOf(file), contradiction);
    }
    SyncPath(unverified);
    fs::rename(unverified, path);
  }

  std::string UrlOf(const HubFile& file) const {
    return options_.endpoint + "/" + repository_ + "/resolve/" + listing_.revision + "/" +
           file.name;
  }

  // Returns why what came is not the file; empty if it is.
  std::string Download(const HubFile& file, const fs::path& path) const {
    const uint64_t size_bytes = file.size_bytes.value_or(0);
    HttpDownload(UrlOf(file), path, size_bytes, options_.http, [&](uint64_t done) {
      if (progress_) progress_({file.name, done, size_bytes});
    });
    return Contradiction(file, path);
  }

  std::string repository_;
  const ModelHubOptions& options_;
  fs::path directory_;
  const PullProgressCallback& progress_;
  Listing listing_;
  std::set<std::string> pulled_;  // names of the files that this pull asked for
};

// What is partly there is of use only if it is of the same commit.
void DropOtherRevision(const fs::path& partial, const std::string& revision) {
  const fs::path mark = partial / kRevisionName;
  if (fs::is_regular_file(mark) && fs::file_size(mark) == revision.size() &&
      ReadFile(mark, revision.size()) == revision) {
    return;
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(partial)) fs::remove_all(entry);
  WriteFileAtomically(mark, revision);
}

}  // namespace

ModelHubOptions ModelHubFromEnvironment() {
  ModelHubOptions options;
  const char* endpoint = std::getenv("HF_ENDPOINT");
  options.endpoint = endpoint != nullptr && *endpoint != '\0' ? endpoint : kDefaultEndpoint;
  while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  if (const char* token = std::getenv("HF_TOKEN")) options.http.bearer_token = token;
  return options;
}

fs::path PullHubModel(std::string_view name, const fs::path& home, const ModelHubOptions& options,
                      const PullProgressCallback& progress) {
  const size_t colon = name.find(':');
  const std::string repository(name.substr(0, colon));
  const std::string_view part = colon == std::string_view::npos ? "" : name.substr(colon + 1);
  Installation installation(home, name);
  if (installation.IsComplete()) return installation.directory();
  try {
    Puller puller(repository, options, installation.partial(), progress);
    DropOtherRevision(installation.partial(), puller.revision());
    puller.Pull(part);
    puller.DropOtherFiles();
    return installation.Commit();
  } catch (const fs::filesystem_error& error) {
    Throw(ErrorCode::kIo, "cannot install '{}': {}", name, error.what());
  }
}

}  // namespace retort
