#include "retort/engine/engine.h"

#include <algorithm>
#include <set>
#include <utility>

#include "retort/base/digest.h"
#include "retort/base/log.h"
#include "retort/checkpoint/checkpoint.h"
#include "retort/devices/devices.h"
#include "retort/engine/engine_impl.h"
#include "retort/llm/request_check.h"
#include "retort/llm/request_key.h"
#include "retort/models/architectures.h"

namespace retort {
namespace {

// Part of every request's key: to be raised whenever the same request may get other bits than
// before on the same dispatch level, so that no ledger mixes both.
constexpr std::string_view kAnswersVersion = "engine 2";

int CountPages(const EngineOptions& options, const Device& device, const Decoder& decoder,
               Format format) {
  const uint64_t page_bytes = device.KvPageBytes(decoder.MakeKvSpec(1, format));
  const uint64_t num_pages = std::min<uint64_t>(options.kv_bytes / page_bytes, 1 << 24);
  if (num_pages < 1) {
    Throw(
        ErrorCode::kExhausted,
        "the budget of {} bytes for keys and values holds no page: {} tokens of this model take {}",
        options.kv_bytes, kPageTokens, page_bytes);
  }
  return static_cast<int>(num_pages);
}

// Compiled constraints that are kept for requests to come.
constexpr size_t kConstraintsMax = 256;

std::string_view AsText(const std::vector<int32_t>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)};
}

}  // namespace

void CheckEngineOptions(const EngineOptions& options) {
  if (options.context_tokens_max < 0 || options.queue_requests_max < 0) {
    Throw(ErrorCode::kInvalid,
          "context_tokens_max is {} and queue_requests_max {}: neither may be "
          "negative",
          options.context_tokens_max, options.queue_requests_max);
  }
  CheckSchedulerOptions(
      {options.max_num_seqs, options.max_batch_tokens, options.prefill_chunk_tokens});
}

Engine::Impl::Impl(const EngineOptions& options, std::unique_ptr<Device> device)
    : Impl(options, std::move(device), Checkpoint::Open(options.path)) {}

Engine::Impl::Impl(const EngineOptions& options, std::unique_ptr<Device> device,
                   const std::shared_ptr<const Checkpoint>& checkpoint)
    : Impl(options, std::move(device), checkpoint, std::async(std::launch::async, [checkpoint] {
             return PromptEncoder(*checkpoint, ReadDecoderSpec(*checkpoint).vocab_size);
           })) {}

Engine::Impl::Impl(const EngineOptions& options, std::unique_ptr<Device> device,
                   std::shared_ptr<const Checkpoint> checkpoint, std::future<PromptEncoder> encoder)
    : options_(options),
      device_(std::move(device)),
      checkpoint_(std::move(checkpoint)),
      decoder_(Decoder::Load(checkpoint_, *device_, options.compute, options.progress)),
      encoder_(encoder.get()),
      kv_format_(options.kv_format.value_or(options.compute == Compute::kExact ? Format::kF32
                                                                               : Format::kBF16)),
      name_(options.name.empty() ? options.path.string() : options.name),
      log_(options.engine_log) {
  const DecoderSpec& spec = decoder_->spec();
  std::set<int32_t> end_ids(spec.eos_token_ids.begin(), spec.eos_token_ids.end());
  const auto turn_ends = encoder_.tokenizer()->end_ids();
  end_ids.insert(turn_ends.begin(), turn_ends.end());
  end_ids_.assign(end_ids.begin(), end_ids.end());

  const int num_pages = CountPages(options, *device_, *decoder_, kv_format_);
  const int64_t pool_tokens = int64_t{num_pages} * kPageTokens;
  context_tokens_max_ = spec.context_tokens_max;
  if (options.context_tokens_max > 0) context_tokens_max_ = options.context_tokens_max;
  if (context_tokens_max_ > spec.context_tokens_max) {
    LogWarning("{}: a context of {} tokens is asked for, the model was made for {}", name_,
               context_tokens_max_, spec.context_tokens_max);
  }
  if (pool_tokens < context_tokens_max_) {
    LogInfo("{}: the context is cut from {} to {} tokens, whose keys and values fit the {} bytes",
            name_, context_tokens_max_, pool_tokens, options.kv_bytes);
    context_tokens_max_ = pool_tokens;
  }
  pool_ = std::make_unique<KvPool>(KvPoolOptions{num_pages, options.prefix_cache, 128});
  scheduler_ =
      std::make_unique<Scheduler>(SchedulerOptions{options.max_num_seqs, options.max_batch_tokens,
                                                   options.prefill_chunk_tokens},
                                  *pool_);
  runner_ = std::make_unique<ModelRunner>(
      *decoder_,
      ModelRunnerOptions{options.max_num_seqs, options.max_batch_tokens, context_tokens_max_,
                         num_pages, encoder_.tokenizer()->vocab_size(), kv_format_});
  kv_bytes_ = runner_->kv_bytes();
}

ModelDescription Engine::Impl::description() const {
  ModelDescription description;
  description.name = name_;
  description.digest = checkpoint_->digest();
  description.dispatch_level = device_->info().dispatch_level;
  description.context_tokens_max = static_cast<int>(context_tokens_max_);
  description.embedding_dim = static_cast<int>(decoder_->spec().model_dim);
  // Twice what one step holds: while one half is computed the other's senders may think.
  description.num_sequences_max = 2 * options_.max_num_seqs;
  return description;
}

ModelStats Engine::Impl::stats() const {
  ModelStats stats;
  stats.num_requests = counters_.num_requests;
  stats.num_failed = counters_.num_failed;
  stats.prompt_tokens = counters_.prompt_tokens;
  stats.cached_tokens = counters_.cached_tokens;
  stats.completion_tokens = counters_.completion_tokens;
  stats.num_steps = counters_.num_steps;
  stats.num_step_sequences = counters_.num_step_sequences;
  stats.busy_ns = counters_.busy_ns;
  stats.weight_bytes = decoder_->weight_bytes();
  stats.kv_bytes = kv_bytes_;
  stats.num_preemptions = counters_.num_preemptions;
  return stats;
}

std::vector<StepPoint> Engine::Impl::step_points() const {
  std::lock_guard lock(mutex_);
  return series_.points();
}

PromptEncoder::Encoded Engine::Impl::Encode(const Request& request) const {
  CheckRequest(request);
  return encoder_.Encode(request);
}

// Compiles on the calling thread, and only if no request brought the same constraint before: the
// engine's own thread never waits for a compiler.
std::optional<ConstraintState> Engine::Impl::StartConstraint(const Generation& generation) const {
  if (generation.constraint == nullptr) return std::nullopt;
  std::call_once(constraints_once_, [this] {
    constraints_ = std::make_unique<ConstraintCache>(MakeVocabulary(encoder_.tokenizer(), end_ids_),
                                                     kConstraintsMax);
  });
  const ConstraintText& text = *generation.constraint;
  return constraints_->Get(ConstraintKey(text), [&text] { return CompileConstraint(text); })
      ->Start();
}

std::string Engine::Impl::RequestKey(const Request& request) const {
  const PromptEncoder::Encoded prompt = Encode(request);
  Sha256 digest;
  digest.Field(kAnswersVersion)
      .Field(checkpoint_->digest())
      .Field(device_->info().dispatch_level)
      .Field(static_cast<uint64_t>(options_.compute))
      .Field(static_cast<uint64_t>(kv_format_))
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

// Also says in `sequence` what the scheduler must know of this kind of work.
Work Engine::Impl::MakeWork(const Request& request, const PromptEncoder::Encoded& prompt,
                            Sequence& sequence) const {
  const auto num_tokens = static_cast<int64_t>(prompt.token_ids.size());
  sequence.tokens_max = num_tokens;
  sequence.first_output = num_tokens - 1;
  const auto check_fits = [&](int64_t needed, const char* what) {
    if (needed <= context_tokens_max_) return;
    Throw(ErrorCode::kExhausted, "the prompt has {} tokens and {} {} more, the context holds {}",
          num_tokens, what, needed - num_tokens, context_tokens_max_);
  };
  if (const auto* generation = std::get_if<Generation>(&request.work)) {
    check_fits(num_tokens + 1, "needs room for");
    const int64_t max_new =
        std::min<int64_t>(generation->sampling.max_new_tokens, context_tokens_max_ - num_tokens);
    sequence.tokens_max = num_tokens + max_new;
    return GenerationWork(generation->sampling, encoder_.tokenizer(), prompt.answer_is_a_text,
                          end_ids_, static_cast<int>(max_new), StartConstraint(*generation));
  }
  if (const auto* scoring = std::get_if<Scoring>(&request.work)) {
    std::vector<std::vector<int32_t>> continuations;
    for (const std::string& text : scoring->continuations) {
      continuations.push_back(encoder_.EncodeContinuation(text));
    }
    ScoringWork work(std::move(continuations), num_tokens);
    check_fits(num_tokens + work.num_tokens_max(), "its longest continuation");
    sequence.tokens_max = num_tokens + work.num_tokens_max();
    sequence.publish_end = num_tokens;
    return work;
  }
  check_fits(num_tokens, "needs");
  EmbeddingWork work(std::get<Embedding>(request.work));
  if (work.is_mean()) sequence.first_output = 0;
  return work;
}

std::unique_ptr<ActiveRequest> Engine::Impl::Prepare(Request request) const {
  PromptEncoder::Encoded prompt = Encode(request);
  Sequence sequence;
  sequence.priority = request.priority;
  sequence.deadline = request.deadline;
  sequence.domain = static_cast<uint64_t>(
      RopeDomain(decoder_->spec().rope, static_cast<int64_t>(prompt.token_ids.size())));
  auto active = std::make_unique<ActiveRequest>(MakeWork(request, prompt, sequence));
  const auto* asked = std::get_if<Generation>(&request.work);
  const bool close = asked != nullptr && asked->constraint != nullptr && asked->close;
  active->name = std::move(request.id);
  active->tag = std::move(request.tag);
  active->stop = std::move(request.stop);
  active->prompt_tokens = static_cast<int64_t>(prompt.token_ids.size());
  active->usage.prompt_tokens = static_cast<int>(prompt.token_ids.size());
  sequence.tokens = std::move(prompt.token_ids);
  if (auto* generation = std::get_if<GenerationWork>(&active->work)) {
    if (close) generation->CloseInTime();
    active->finished = generation->AcceptForced();
    const auto forced = generation->token_ids();
    sequence.tokens.insert(sequence.tokens.end(), forced.begin(), forced.end());
    sequence.first_output = sequence.num_tokens() - 1;
  }
  active->waiting = std::move(sequence);
  return active;
}

void Engine::Impl::Submit(Request request, const ResponseHandler& handler) {
  ++counters_.num_requests;
  try {
    std::unique_ptr<ActiveRequest> active = Prepare(std::move(request));
    std::lock_guard lock(mutex_);
    if (death_) {
      Throw(ErrorCode::kUnavailable, "model '{}' has stopped: {}", name_, death_->message());
    }
    if (stopping_) Throw(ErrorCode::kUnavailable, "model '{}' is being unloaded", name_);
    if (num_waiting_ >= options_.queue_requests_max) {
      Throw(ErrorCode::kExhausted, "{} requests wait for model '{}' already, its limit",
            options_.queue_requests_max, name_);
    }
    active->id = active->waiting.id = next_id_++;
    active->handler = handler;
    inbox_.push_back(std::move(active));
    ++num_waiting_;
  } catch (...) {
    ++counters_.num_failed;
    Deliver(handler, Response{CurrentError(), {}});
    return;
  }
  wake_.notify_one();
}

void Engine::Impl::Deliver(const ResponseHandler& handler, Response response) {
  try {
    if (handler.on_done) handler.on_done(std::move(response));
  } catch (...) {
    LogWarning("{}: a response handler threw: {}", name_, CurrentError().message());
  }
}

void Engine::Impl::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

std::shared_ptr<Engine> Engine::Open(const EngineOptions& options) {
  CheckEngineOptions(options);
  return Open(options, OpenDevice(options.device, {.num_threads = options.num_threads,
                                                   .dispatch_level = options.dispatch_level,
                                                   .pack_late = true}));
}

std::shared_ptr<Engine> Engine::Open(const EngineOptions& options, std::unique_ptr<Device> device) {
  CheckEngineOptions(options);
  return std::shared_ptr<Engine>(new Engine(std::make_shared<Impl>(options, std::move(device))));
}

Engine::Engine(std::shared_ptr<Impl> impl)
    : impl_(std::move(impl)), thread_([impl = impl_] { impl->Loop(); }) {}

Engine::~Engine() {
  impl_->Stop();
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();  // the last handle was dropped by a handler; the loop ends by itself
  } else {
    thread_.join();
  }
}

ModelDescription Engine::description() const { return impl_->description(); }
ModelStats Engine::stats() const { return impl_->stats(); }
std::vector<StepPoint> Engine::step_points() const { return impl_->step_points(); }

std::string Engine::RequestKey(const Request& request) const { return impl_->RequestKey(request); }

void Engine::Submit(Request request, ResponseHandler handler) {
  impl_->Submit(std::move(request), handler);
}

}  // namespace retort
