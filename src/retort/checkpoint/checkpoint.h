#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/base/mapped_file.h"
#include "retort/checkpoint/weight_file.h"
#include "retort/tensor/tensor_view.h"

namespace retort {

enum class CheckpointKind { kGguf, kSafetensors };

// "gguf", "safetensors".
std::string_view CheckpointKindName(CheckpointKind kind);

// Largest text file a checkpoint hands out; tokenizer.json of 256k-word vocabularies is about 35
// MB.
inline constexpr uint64_t kTextFileBytesMax = uint64_t{256} << 20;

// Bytes on disk as named tensors and metadata. Knows no model. The weight files are memory-mapped
// read-only, so opening costs the headers; pages are read when a tensor is. Side files are read
// once, when the checkpoint is opened: what is handed out of them is what the digest is of.
// Immutable and safe to share between threads. Every name, span and reference lives as long as the
// object.
//
// A mapped file can be changed by others while it is in use. Who relies on bytes of tensors calls
// CheckUnchanged after they were read.
class Checkpoint {
 public:
  // Opens a .gguf file, a .safetensors file, or a directory with model.safetensors, with
  // model.safetensors.index.json and its shards, or with exactly one .gguf. A directory of
  // safetensors must have a config.json; beside a single .safetensors file it is optional.
  // Throws Error{kNotFound} for a path or shard that is not there, {kCorrupt} for a file that
  // contradicts itself, {kInvalid} for what is no checkpoint, {kUnsupported} for a GGUF in parts;
  // messages name the file, what was expected and what was found.
  static std::shared_ptr<const Checkpoint> Open(const std::filesystem::path& path);

  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  CheckpointKind kind() const { return kind_; }
  // As given to Open.
  const std::filesystem::path& path() const { return path_; }

  // GGUF: every key-value of the file, flat ("llama.block_count"), arrays as JSON arrays; a string
  // array costs about 64 bytes an element on top of its text.
  // Safetensors: {"config": config.json, "generation_config": ..., "tokenizer_config": ...}, one
  // member per side file that is there (kSideFiles in checkpoint.cc), and "__metadata__" of the
  // file.
  const Json& metadata() const { return metadata_; }

  // In file order; shards in the order of their names.
  std::span<const TensorView> tensors() const { return tensors_; }
  // nullptr if there is none of that name. O(1).
  const TensorView* Find(std::string_view name) const;
  // Throws Error{kNotFound} naming the checkpoint, the tensor and the nearest name it has.
  const TensorView& At(std::string_view name) const;

  // Identity of the contents, 64 hex digits: for a GGUF the SHA-256 of the file itself, else the
  // SHA-256 over name and SHA-256 of every weight file and side file. Reads all weights at the
  // first call (about 1.5 GB/s), then remembers. Throws as CheckUnchanged does.
  std::string digest() const;

  // Throws Error{kCorrupt} naming the file if a weight file was written to, cut or could not be
  // read since it was opened: what was computed of it may be wrong. A file that was replaced by a
  // rename, or given other rights, is as good as before; its bytes are digested again to know.
  // Costs a system call per file.
  void CheckUnchanged() const;

  // Content of a side file ("tokenizer.json", "chat_template.jinja") as it was when the checkpoint
  // was opened, or nothing if it was not there or the checkpoint is a lone .gguf. Only for names in
  // kSideFiles: what is not part of the digest must not be read.
  std::optional<std::string> TextFile(std::string_view file_name) const;

  // Bytes of all tensors as stored.
  uint64_t tensor_bytes() const;

 private:
  struct Source {
    std::unique_ptr<MappedFile> file;
    WeightFile content;
    std::string digest;  // once it is known
  };

  explicit Checkpoint(std::filesystem::path path) : path_(std::move(path)) {}
  void OpenDirectory();
  void OpenGguf(const std::filesystem::path& file);
  void OpenSafetensors(const std::filesystem::path& file);
  void OpenShards(const std::filesystem::path& index);
  const Source& AddSource(const std::filesystem::path& file);
  void ReadSideFiles(bool config_required);
  void IndexTensors();
  std::string DigestAll() const;
  void CompareAll() const;
  template <typename Function>
  auto Guarded(Function function) const;

  CheckpointKind kind_ = CheckpointKind::kGguf;
  std::filesystem::path path_;
  std::filesystem::path directory_;  // of the side files; empty for a GGUF
  // Under mutex_ once the checkpoint is open: digests, and what the files are compared with.
  mutable std::vector<Source> sources_;
  std::map<std::string, std::string, std::less<>> side_files_;  // name → content
  Json metadata_ = Json::object();
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string_view, size_t> index_;
  mutable std::mutex mutex_;
  mutable std::string digest_;            // empty: not known yet
  mutable std::optional<Error> changed_;  // for good: a file that is whole again was not meanwhile
};

}  // namespace retort
