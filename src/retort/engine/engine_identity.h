#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "retort/engine/engine.h"
#include "retort/engine/prompt_encoder.h"
#include "retort/models/decoder_spec.h"

namespace retort {

class Checkpoint;

// All that an engine's answers depend on beside the request and, at its end, the context. A new
// setting either gets a field here, or engine_keys_test.cc shows that it changes no answer.
struct AnswerOrigins {
  std::string files;           // Checkpoint::digest
  std::string device;          // "cpu", "ref"
  std::string dispatch_level;  // of the device
  Compute compute = Compute::kNative;
  Format kv_format = Format::kBF16;
  std::string_view code;  // versions of the code that makes tokens of text and text of tokens
};
std::string AnswersKey(const AnswerOrigins& origins);

// A model's files, opened, and how an engine is to run them: what there is before the weights are
// in memory. Engines that are opened with it share its mapped files, so that what is named by its
// keys is computed of the very bytes that were digested. Thread-safe.
class EngineIdentity : public ModelIdentity {
 public:
  // Opens the checkpoint and reads its headers and side files. Throws what Checkpoint::Open,
  // ReadDecoderSpec and OpenDevice throw; Error{kExhausted} with numbers if kv_bytes holds no page;
  // {kInvalid} for options that cannot work.
  static std::shared_ptr<const EngineIdentity> Open(const EngineOptions& options);
  // On a device of the caller's making, which is only asked.
  static std::shared_ptr<const EngineIdentity> Open(const EngineOptions& options,
                                                    const Device& device);

  // Digests the files, the first time.
  ModelDescription description() const override;
  // SHA-256 over the answers key, the rendered token ids and the work with all its parameters.
  // Renders and tokenises the prompt; reads the tokenizer, the first time.
  std::string RequestKey(const Request& request) const override;
  void CheckUnchanged() const override;

  const EngineOptions& options() const { return options_; }
  const std::shared_ptr<const Checkpoint>& checkpoint() const { return checkpoint_; }
  const std::string& name() const { return name_; }
  // Reads the checkpoint's tokenizer and template, the first time. Throws as they do.
  const PromptEncoder& encoder() const;
  // Checks the request and makes token ids of its prompt.
  PromptEncoder::Encoded Encode(const Request& request) const;
  Format kv_format() const { return kv_format_; }
  int num_kv_pages() const { return num_kv_pages_; }
  int64_t context_tokens_max() const { return context_tokens_max_; }

 private:
  EngineIdentity(const EngineOptions& options, const Device& device);
  std::string AnswersKey() const;

  const EngineOptions options_;
  const std::string name_;
  const std::shared_ptr<const Checkpoint> checkpoint_;
  const DecoderSpec spec_;
  const std::string device_;
  const std::string dispatch_level_;
  const Format kv_format_;
  int num_kv_pages_ = 0;
  int64_t context_tokens_max_ = 0;
  mutable std::once_flag encoder_once_;
  mutable std::optional<PromptEncoder> encoder_;
};

}  // namespace retort
