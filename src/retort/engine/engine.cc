#include "retort/engine/engine.h"

#include <algorithm>
#include <future>
#include <set>
#include <utility>

#include "retort/base/log.h"
#include "retort/devices/devices.h"
#include "retort/engine/engine_impl.h"

namespace retort {
namespace {

// Before anything is read: what is built for so many keys and values takes memory of its own.
void CheckRoomForKeys(const EngineOptions& options, const Device& device) {
  const DeviceMemory memory = device.memory();
  if (memory.total_bytes > 0 && options.kv_bytes > memory.free_bytes) {
    Throw(ErrorCode::kExhausted,
          "kv_cache: {} bytes for keys and values are asked for, {} of {} bytes of memory are free",
          options.kv_bytes, memory.free_bytes, memory.total_bytes);
  }
}

// Compiled constraints that are kept for requests to come.
constexpr size_t kConstraintsMax = 256;

// Another thread reads the tokenizer while weights are packed.
std::unique_ptr<Decoder> LoadDecoder(const EngineIdentity& identity, Device& device) {
  auto reading = std::async(std::launch::async, [&identity] { identity.encoder(); });
  try {
    auto decoder = Decoder::Load(identity.checkpoint(), device, identity.options().compute,
                                 identity.options().progress);
    reading.get();
    return decoder;
  } catch (const Error&) {
    identity.CheckUnchanged();  // if it throws, that is the reason
    throw;
  }
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

Engine::Impl::Impl(std::shared_ptr<const EngineIdentity> identity, std::unique_ptr<Device> device)
    : identity_(std::move(identity)),
      options_(identity_->options()),
      name_(identity_->name()),
      device_(std::move(device)),
      decoder_(LoadDecoder(*identity_, *device_)),
      log_(options_.engine_log) {
  const Tokenizer& tokenizer = *identity_->encoder().tokenizer();
  const DecoderSpec& spec = decoder_->spec();
  std::set<int32_t> end_ids(spec.eos_token_ids.begin(), spec.eos_token_ids.end());
  const auto turn_ends = tokenizer.end_ids();
  end_ids.insert(turn_ends.begin(), turn_ends.end());
  end_ids_.assign(end_ids.begin(), end_ids.end());

  pool_ = std::make_unique<KvPool>(
      KvPoolOptions{identity_->num_kv_pages(), options_.prefix_cache, 128});
  scheduler_ =
      std::make_unique<Scheduler>(SchedulerOptions{options_.max_num_seqs, options_.max_batch_tokens,
                                                   options_.prefill_chunk_tokens},
                                  *pool_);
  runner_ = std::make_unique<ModelRunner>(
      *decoder_, ModelRunnerOptions{options_.max_num_seqs, options_.max_batch_tokens,
                                    identity_->context_tokens_max(), identity_->num_kv_pages(),
                                    tokenizer.vocab_size(), identity_->kv_format()});
  kv_bytes_ = runner_->kv_bytes();
  identity_->CheckUnchanged();
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

// Compiles on the calling thread, and only if no request brought the same constraint before: the
// engine's own thread never waits for a compiler.
std::optional<ConstraintState> Engine::Impl::StartConstraint(const Generation& generation) const {
  if (generation.constraint == nullptr) return std::nullopt;
  std::call_once(constraints_once_, [this] {
    constraints_ = std::make_unique<ConstraintCache>(
        MakeVocabulary(identity_->encoder().tokenizer(), end_ids_), kConstraintsMax);
  });
  const ConstraintText& text = *generation.constraint;
  return constraints_->Get(ConstraintKey(text), [&text] { return CompileConstraint(text); })
      ->Start();
}

// Also says in `sequence` what the scheduler must know of this kind of work.
Work Engine::Impl::MakeWork(const Request& request, const PromptEncoder::Encoded& prompt,
                            Sequence& sequence) const {
  const auto num_tokens = static_cast<int64_t>(prompt.token_ids.size());
  const int64_t context_tokens_max = identity_->context_tokens_max();
  sequence.tokens_max = num_tokens;
  sequence.first_output = num_tokens - 1;
  const auto check_fits = [&](int64_t needed, const char* what) {
    if (needed <= context_tokens_max) return;
    Throw(ErrorCode::kExhausted, "the prompt has {} tokens and {} {} more, the context holds {}",
          num_tokens, what, needed - num_tokens, context_tokens_max);
  };
  if (const auto* generation = std::get_if<Generation>(&request.work)) {
    check_fits(num_tokens + 1, "needs room for");
    const int64_t max_new =
        std::min<int64_t>(generation->sampling.max_new_tokens, context_tokens_max - num_tokens);
    sequence.tokens_max = num_tokens + max_new;
    return GenerationWork(generation->sampling, identity_->encoder().tokenizer(),
                          prompt.answer_is_a_text, end_ids_, static_cast<int>(max_new),
                          StartConstraint(*generation));
  }
  if (const auto* scoring = std::get_if<Scoring>(&request.work)) {
    std::vector<std::vector<int32_t>> continuations;
    for (const std::string& text : scoring->continuations) {
      continuations.push_back(identity_->encoder().EncodeContinuation(text));
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
  PromptEncoder::Encoded prompt = identity_->Encode(request);
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
  return Open(EngineIdentity::Open(options));
}

std::shared_ptr<Engine> Engine::Open(std::shared_ptr<const EngineIdentity> identity) {
  const EngineOptions& options = identity->options();
  auto device = OpenDevice(options.device, {.num_threads = options.num_threads,
                                            .dispatch_level = options.dispatch_level,
                                            .pack_late = true});
  CheckRoomForKeys(options, *device);
  return std::shared_ptr<Engine>(
      new Engine(std::make_shared<Impl>(std::move(identity), std::move(device))));
}

std::shared_ptr<Engine> Engine::Open(const EngineOptions& options, std::unique_ptr<Device> device) {
  CheckRoomForKeys(options, *device);
  auto identity = EngineIdentity::Open(options, *device);
  return std::shared_ptr<Engine>(
      new Engine(std::make_shared<Impl>(std::move(identity), std::move(device))));
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

ModelDescription Engine::description() const { return impl_->identity().description(); }
ModelStats Engine::stats() const { return impl_->stats(); }
std::vector<StepPoint> Engine::step_points() const { return impl_->step_points(); }

std::string Engine::RequestKey(const Request& request) const {
  return impl_->identity().RequestKey(request);
}
void Engine::CheckUnchanged() const { impl_->identity().CheckUnchanged(); }

void Engine::Submit(Request request, ResponseHandler handler) {
  impl_->Submit(std::move(request), handler);
}

}  // namespace retort
