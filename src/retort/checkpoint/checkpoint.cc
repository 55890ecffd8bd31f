#include "retort/checkpoint/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/log.h"
#include "retort/checkpoint/gguf.h"
#include "retort/checkpoint/safetensors.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

struct SideFile {
  std::string_view file_name;
  std::string_view metadata_key;  // "": read only through TextFile
};

// What a published directory holds beside its weights and an answer can depend on: all that is read
// of it, and no more.
constexpr std::array<SideFile, 10> kSideFiles = {{
    {"config.json", "config"},
    {"generation_config.json", "generation_config"},
    {"tokenizer_config.json", "tokenizer_config"},
    {"special_tokens_map.json", "special_tokens_map"},
    {"added_tokens.json", "added_tokens"},
    {"quantize_config.json", "quantize_config"},
    {"quant_config.json", "quant_config"},
    {"chat_template.json", "chat_template"},
    {"tokenizer.json", ""},
    {"chat_template.jinja", ""},
}};

constexpr uint64_t kSideJsonBytesMax = uint64_t{16} << 20;
constexpr uint64_t kIndexBytesMax = uint64_t{64} << 20;
constexpr std::string_view kAdapterConfigName = "adapter_config.json";
constexpr std::string_view kAdapterName = "adapter_model";
constexpr std::string_view kIndexName = "model.safetensors.index.json";

std::vector<std::string> FilesEndingIn(const fs::path& directory, std::string_view ending) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    std::string name = entry.path().filename().string();
    if (name.ends_with(ending) && entry.is_regular_file()) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Whatever it is called: other programs keep models under digests.
bool BeginsLikeGguf(const fs::path& file) {
  constexpr std::string_view kMagic = "GGUF";
  char begin[kMagic.size()] = {};
  const int descriptor = OpenRegularFile(file);
  const ssize_t count = ::read(descriptor, begin, sizeof begin);
  ::close(descriptor);
  return std::string_view(begin, count > 0 ? static_cast<size_t>(count) : 0) == kMagic;
}

// What trainers leave beside weights: pickled, but no weights.
bool IsTrainingState(std::string_view name) {
  for (const std::string_view begin :
       {"training_args", "optimizer", "scheduler", "rng_state", "random_states", "scaler"}) {
    if (name.starts_with(begin)) return true;
  }
  return false;
}

// A directory of the format PEFT: differences to another model's weights.
[[noreturn]] void ThrowAdapter(const fs::path& directory) {
  std::string kind = "an adapter";
  std::string base;
  const fs::path config = directory / kAdapterConfigName;
  if (fs::exists(config)) {
    const Json json = ParseJson(ReadFile(config, kSideJsonBytesMax), config.string());
    const auto text = [&](const char* key) -> std::string {
      const bool is_text = json.is_object() && json.contains(key) && json[key].is_string();
      return is_text ? json[key].get<std::string>() : "";
    };
    if (const std::string type = text("peft_type"); !type.empty()) {
      kind = type == "LORA" ? "a LoRA adapter" : fmt::format("an adapter ({})", type);
    }
    if (const std::string name = text("base_model_name_or_path"); !name.empty()) {
      base = fmt::format(" '{}'", name);
    }
  }
  Throw(ErrorCode::kUnsupported,
        "directory '{}' is {}, not a model: merge it into its base model{} and name the result "
        "(adapters are not in this build)",
        directory.string(), kind, base);
}

bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace

std::string_view CheckpointKindName(CheckpointKind kind) {
  return kind == CheckpointKind::kGguf ? "gguf" : "safetensors";
}

std::shared_ptr<const Checkpoint> Checkpoint::Open(const fs::path& path) {
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint(path));
  try {
    if (!fs::exists(path)) {
      Throw(ErrorCode::kNotFound, "no checkpoint at '{}': no such file or directory",
            path.string());
    }
    if (fs::is_directory(path)) {
      checkpoint->OpenDirectory();
    } else if (path.extension() == ".gguf" || BeginsLikeGguf(path)) {
      checkpoint->OpenGguf(path);
    } else if (path.extension() == ".safetensors") {
      if (path.stem() == kAdapterName) {
        ThrowAdapter(path.has_parent_path() ? path.parent_path() : fs::path("."));
      }
      checkpoint->directory_ = path.has_parent_path() ? path.parent_path() : fs::path(".");
      checkpoint->OpenSafetensors(path);
      checkpoint->ReadSideFiles(/*config_required=*/false);
    } else {
      Throw(ErrorCode::kInvalid,
            "'{}' is no checkpoint: expected a .gguf file, a .safetensors file or a directory",
            path.string());
    }
  } catch (const fs::filesystem_error& error) {
    Throw(ErrorCode::kIo, "checkpoint '{}': {}", path.string(), error.code().message());
  }
  checkpoint->IndexTensors();
  return checkpoint;
}

void Checkpoint::OpenDirectory() {
  directory_ = path_;
  if (fs::exists(path_ / "model.safetensors")) {
    OpenSafetensors(path_ / "model.safetensors");
    return ReadSideFiles(/*config_required=*/true);
  }
  if (fs::exists(path_ / kIndexName)) {
    OpenShards(path_ / kIndexName);
    return ReadSideFiles(/*config_required=*/true);
  }
  const std::vector<std::string> ggufs = FilesEndingIn(path_, ".gguf");
  if (ggufs.size() == 1) return OpenGguf(path_ / ggufs[0]);
  if (ggufs.size() > 1) {
    Throw(ErrorCode::kInvalid,
          "directory '{}' has {} .gguf files ({}, {}, ...): name the one to open", path_.string(),
          ggufs.size(), ggufs[0], ggufs[1]);
  }
  if (fs::exists(path_ / kAdapterConfigName) ||
      fs::exists(path_ / fmt::format("{}.safetensors", kAdapterName))) {
    ThrowAdapter(path_);
  }
  const std::vector<std::string> others = FilesEndingIn(path_, ".safetensors");
  if (!others.empty()) {
    Throw(ErrorCode::kNotFound,
          "directory '{}' holds {} ({} .safetensors files), but neither model.safetensors nor {}: "
          "get the missing one, or name the file if it is a whole model",
          path_.string(), others[0], others.size(), kIndexName);
  }
  std::vector<std::string> pickled;
  for (const char* ending : {".bin", ".pth", ".pt"}) {
    for (std::string& name : FilesEndingIn(path_, ending)) {
      if (!IsTrainingState(name)) pickled.push_back(std::move(name));
    }
  }
  if (!pickled.empty()) {
    Throw(ErrorCode::kUnsupported,
          "directory '{}' has only pickled PyTorch weights, which can run code when read: use a "
          "safetensors or GGUF version of the model",
          path_.string());
  }
  Throw(ErrorCode::kNotFound,
        "directory '{}' holds no checkpoint: expected model.safetensors, {} or one .gguf file",
        path_.string(), kIndexName);
}

const Checkpoint::Source& Checkpoint::AddSource(const fs::path& file) {
  auto mapped = std::make_unique<MappedFile>(file);
  WeightFile content;
  try {
    content = kind_ == CheckpointKind::kGguf ? ParseGguf(mapped->bytes(), file.string())
                                             : ParseSafetensors(mapped->bytes(), file.string());
  } catch (const Error&) {
    // The reason, if the header was written while it was read.
    if (mapped->Look() == MappedFile::State::kChanged) mapped->ThrowChanged();
    throw;
  }
  return sources_.emplace_back(Source{std::move(mapped), std::move(content), ""});
}

void Checkpoint::OpenGguf(const fs::path& file) {
  kind_ = CheckpointKind::kGguf;
  directory_.clear();  // the file has all; what lies beside it is not part of it
  AddSource(file);
  metadata_ = std::move(sources_.back().content.metadata);
}

void Checkpoint::OpenSafetensors(const fs::path& file) {
  kind_ = CheckpointKind::kSafetensors;
  AddSource(file);
  if (!sources_.back().content.metadata.empty()) {
    metadata_["__metadata__"] = std::move(sources_.back().content.metadata);
  }
}

void Checkpoint::OpenShards(const fs::path& index) {
  kind_ = CheckpointKind::kSafetensors;
  const Json json = ParseJson(ReadFile(index, kIndexBytesMax), index.string());
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    Throw(ErrorCode::kCorrupt, "'{}': expected an object with the object \"weight_map\"",
          index.string());
  }
  std::map<std::string, std::unordered_map<std::string_view, bool>> shards;  // tensor -> was found
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string() || !IsPlainFileName(file.get_ref<const std::string&>())) {
      Throw(ErrorCode::kCorrupt,
            "'{}': tensor '{}' must name a file of the same directory, found {}", index.string(),
            tensor, DumpJson(file).substr(0, 200));
    }
    shards[file.get_ref<const std::string&>()].emplace(tensor, false);
  }
  for (auto& [file_name, expected] : shards) {
    const fs::path file = path_ / file_name;
    if (!fs::exists(file)) {
      Throw(ErrorCode::kNotFound,
            "'{}' names the shard '{}', which is not there ({} shards expected)", index.string(),
            file_name, shards.size());
    }
    for (const TensorView& tensor : AddSource(file).content.tensors) {
      const auto found = expected.find(tensor.name);
      if (found == expected.end()) {
        Throw(ErrorCode::kCorrupt, "shard '{}' holds tensor '{}', which '{}' does not place there",
              file.string(), tensor.name, kIndexName);
      }
      found->second = true;
    }
    // A tensor that the model needs is missed when it is built; others do no harm.
    for (const auto& [tensor, found] : expected) {
      if (found) continue;
      LogWarning("'{}' places tensor '{}' in shard '{}', which does not hold it", index.string(),
                 tensor, file_name);
    }
  }
}

void Checkpoint::ReadSideFiles(bool config_required) {
  if (config_required && !fs::exists(directory_ / "config.json")) {
    Throw(ErrorCode::kNotFound, "directory '{}' has weights but no config.json",
          directory_.string());
  }
  for (const SideFile& side : kSideFiles) {
    const fs::path file = directory_ / side.file_name;
    if (!fs::exists(file)) continue;
    const bool is_json = !side.metadata_key.empty();
    const std::string& text =
        side_files_
            .emplace(side.file_name,
                     ReadFile(file, is_json ? kSideJsonBytesMax : kTextFileBytesMax))
            .first->second;
    if (!is_json) continue;
    Json json = ParseJson(text, file.string());
    if (!json.is_object()) {
      Throw(ErrorCode::kCorrupt, "'{}': expected a JSON object, found {}", file.string(),
            json.type_name());
    }
    metadata_[std::string(side.metadata_key)] = std::move(json);
  }
}

void Checkpoint::IndexTensors() {
  for (const Source& source : sources_) {
    tensors_.insert(tensors_.end(), source.content.tensors.begin(), source.content.tensors.end());
  }
  index_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const TensorView* Checkpoint::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorView& Checkpoint::At(std::string_view name) const {
  if (const TensorView* tensor = Find(name)) return *tensor;
  std::vector<std::string_view> names;
  for (const TensorView& tensor : tensors_) names.push_back(tensor.name);
  const std::string nearest = NearestName(name, names);
  Throw(ErrorCode::kNotFound, "checkpoint '{}' has no tensor '{}' among its {}{}", path_.string(),
        name, tensors_.size(), nearest.empty() ? "" : fmt::format(" (nearest: '{}')", nearest));
}

std::string Checkpoint::DigestAll() const {
  for (Source& source : sources_) {
    source.digest = Sha256().Add(source.file->bytes()).Hex();
    if (source.file->Look() == MappedFile::State::kChanged) source.file->ThrowChanged();
  }
  if (directory_.empty()) return sources_.front().digest;
  Sha256 all;
  for (const Source& source : sources_) {
    all.Field(source.file->path().filename().string()).Field(source.digest);
  }
  for (const SideFile& side : kSideFiles) {
    const auto content = side_files_.find(side.file_name);
    if (content != side_files_.end()) all.Field(side.file_name).Field(Sha256Hex(content->second));
  }
  return all.Hex();
}

void Checkpoint::CompareAll() const {
  for (Source& source : sources_) {
    const MappedFile::State state = source.file->Look();
    if (state == MappedFile::State::kSame) continue;
    if (state == MappedFile::State::kChanged) source.file->ThrowChanged();
    source.file->Remember();              // before the bytes are read again
    if (source.digest.empty()) continue;  // nothing was named by them yet
    if (Sha256().Add(source.file->bytes()).Hex() != source.digest) source.file->ThrowChanged();
  }
}

// One thread at a time, and never again after a failure.
template <typename Function>
auto Checkpoint::Guarded(Function function) const {
  const std::lock_guard lock(mutex_);
  if (changed_) throw *changed_;
  try {
    return function();
  } catch (...) {
    changed_ = CurrentError();
    throw;
  }
}

std::string Checkpoint::digest() const {
  return Guarded([this] {
    if (digest_.empty()) digest_ = DigestAll();
    return digest_;
  });
}

void Checkpoint::CheckUnchanged() const {
  Guarded([this] { CompareAll(); });
}

std::optional<std::string> Checkpoint::TextFile(std::string_view file_name) const {
  const bool is_known = std::any_of(kSideFiles.begin(), kSideFiles.end(),
                                    [&](const auto& side) { return side.file_name == file_name; });
  if (!is_known) {
    Throw(ErrorCode::kInternal, "checkpoint '{}': '{}' is none of the side files that are read",
          path_.string(), file_name);
  }
  const auto content = side_files_.find(file_name);
  if (content == side_files_.end()) return std::nullopt;
  return content->second;
}

uint64_t Checkpoint::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const TensorView& tensor : tensors_) bytes += tensor.bytes.size();
  return bytes;
}

}  // namespace retort
