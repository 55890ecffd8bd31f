#include "retort/engine/engine_identity.h"

#include <algorithm>
#include <vector>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/log.h"
#include "retort/checkpoint/checkpoint.h"
#include "retort/devices/devices.h"
#include "retort/llm/request_check.h"
#include "retort/llm/request_key.h"
#include "retort/models/architectures.h"

namespace retort {
namespace {

// To be raised whenever the same request may get another answer than before from the same files on
// the same dispatch level, so that no ledger mixes both: by kernels, the forward or sampling
// ("engine"), by how text becomes ids or ids text ("tokenizer"), or by how messages become text
// ("chat"). Constraints have a version of their own (ConstraintKey).
constexpr std::string_view kAnswersVersion = "engine 3, tokenizer 2, chat 2";

int CountPages(const EngineOptions& options, const Device& device, const DecoderSpec& spec,
               Format format) {
  const uint64_t page_bytes = device.KvPageBytes(MakeKvSpec(spec, 1, format));
  const uint64_t num_pages = std::min<uint64_t>(options.kv_bytes / page_bytes, 1 << 24);
  if (num_pages < 1) {
    Throw(
        ErrorCode::kExhausted,
        "the budget of {} bytes for keys and values holds no page: {} tokens of this model take {}",
        options.kv_bytes, kPageTokens, page_bytes);
  }
  return static_cast<int>(num_pages);
}

std::string_view AsText(const std::vector<int32_t>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)};
}

}  // namespace

std::string AnswersKey(const AnswerOrigins& origins) {
  return Sha256()
      .Field("answers")
      .Field(origins.files)
      .Field(origins.device)
      .Field(origins.dispatch_level)
      .Field(static_cast<uint64_t>(origins.compute))
      .Field(static_cast<uint64_t>(origins.kv_format))
      .Field(origins.code)
      .Hex();
}

std::shared_ptr<const EngineIdentity> EngineIdentity::Open(const EngineOptions& options) {
  // Another than the one that will compute, which takes memory and threads.
  const auto device =
      OpenDevice(options.device, {.num_threads = 1, .dispatch_level = options.dispatch_level});
  return Open(options, *device);
}

std::shared_ptr<const EngineIdentity> EngineIdentity::Open(const EngineOptions& options,
                                                           const Device& device) {
  return std::shared_ptr<const EngineIdentity>(new EngineIdentity(options, device));
}

EngineIdentity::EngineIdentity(const EngineOptions& options, const Device& device)
    : options_(options),
      name_(options.name.empty() ? options.path.string() : options.name),
      checkpoint_(Checkpoint::Open(options.path)),
      spec_(ReadDecoderSpec(*checkpoint_)),
      device_(device.info().name),
      dispatch_level_(device.info().dispatch_level),
      kv_format_(options.kv_format.value_or(options.compute == Compute::kExact ? Format::kF32
                                                                               : Format::kBF16)) {
  CheckEngineOptions(options);
  num_kv_pages_ = CountPages(options, device, spec_, kv_format_);
  const int64_t pool_tokens = int64_t{num_kv_pages_} * kPageTokens;
  context_tokens_max_ = spec_.context_tokens_max;
  if (options.context_tokens_max > 0) context_tokens_max_ = options.context_tokens_max;
  if (context_tokens_max_ > spec_.context_tokens_max) {
    LogWarning("{}: a context of {} tokens is asked for, the model was made for {}", name_,
               context_tokens_max_, spec_.context_tokens_max);
  }
  if (pool_tokens < context_tokens_max_) {
    LogInfo(
        "{}: the context is cut from {} to {} tokens, whose keys and values fit the {} bytes; "
        "requests that would pass it get other answers than with a larger budget",
        name_, context_tokens_max_, pool_tokens, options.kv_bytes);
    context_tokens_max_ = pool_tokens;
  }
}

std::string EngineIdentity::AnswersKey() const {
  return retort::AnswersKey({.files = checkpoint_->digest(),
                             .device = device_,
                             .dispatch_level = dispatch_level_,
                             .compute = options_.compute,
                             .kv_format = kv_format_,
                             .code = kAnswersVersion});
}

ModelDescription EngineIdentity::description() const {
  ModelDescription description;
  description.name = name_;
  description.digest = checkpoint_->digest();
  description.dispatch_level = dispatch_level_;
  description.answers_key = AnswersKey();
  description.context_tokens_max = static_cast<int>(context_tokens_max_);
  description.embedding_dim = static_cast<int>(spec_.model_dim);
  // Twice what one step holds: while one half is computed the other's senders may think.
  description.num_sequences_max = 2 * options_.max_num_seqs;
  return description;
}

const PromptEncoder& EngineIdentity::encoder() const {
  std::call_once(encoder_once_, [this] { encoder_.emplace(*checkpoint_, spec_.vocab_size); });
  return *encoder_;
}

PromptEncoder::Encoded EngineIdentity::Encode(const Request& request) const {
  CheckRequest(request);
  return encoder().Encode(request);
}

std::string EngineIdentity::RequestKey(const Request& request) const {
  const PromptEncoder::Encoded prompt = Encode(request);
  Sha256 digest;
  digest.Field("request")
      .Field(AnswersKey())
      .Field(AsText(prompt.token_ids))
      .Field(uint64_t{prompt.answer_is_a_text});
  AddWork(digest, request);
  if (const auto* generation = std::get_if<Generation>(&request.work)) {
    // The context matters only to what might reach its end.
    const int64_t wanted =
        static_cast<int64_t>(prompt.token_ids.size()) + generation->sampling.max_new_tokens;
    if (wanted > context_tokens_max_) digest.Field(static_cast<uint64_t>(context_tokens_max_));
  }
  return digest.Hex();
}

void EngineIdentity::CheckUnchanged() const { checkpoint_->CheckUnchanged(); }

}  // namespace retort
