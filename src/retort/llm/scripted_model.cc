#include "retort/llm/scripted_model.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "retort/base/random.h"
#include "retort/grammar/constraint.h"
#include "retort/grammar/vocabulary.h"
#include "retort/llm/request_check.h"
#include "retort/llm/request_key.h"
#include "retort/llm/script_table.h"

namespace retort {
namespace {

uint64_t HashText(std::string_view text, uint64_t seed = 0) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ MixBits(seed + 1);  // FNV-1a
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return MixBits(hash);
}

// End of the scripted token that begins at `begin`.
size_t PieceEnd(std::string_view text, size_t begin) {
  size_t end = std::min(begin + 4, text.size());
  while (end < text.size() && end > begin + 1 && (text[end] & 0xC0) == 0x80) --end;
  return end;
}

int CountPieces(std::string_view text) {
  int count = 0;
  for (size_t at = 0; at < text.size(); at = PieceEnd(text, at)) ++count;
  return count;
}

// Of a prompt, which may be long: as many as if no character were longer than a byte.
int PromptTokens(std::string_view text) { return static_cast<int>((text.size() + 3) / 4); }

Response MakeScores(const Scoring& work, const std::map<std::string, double>* given,
                    std::string_view prompt_text) {
  Scores scores;
  const uint64_t prompt_hash = HashText(prompt_text);
  for (const std::string& continuation : work.continuations) {
    ContinuationScore score;
    score.num_tokens = CountPieces(continuation);
    score.logprob =
        -0.5 - 4.0 * RandomUniform(prompt_hash, HashText(continuation)) * score.num_tokens;
    if (given != nullptr) {
      const auto found = given->find(continuation);
      if (found != given->end()) score.logprob = found->second;
    }
    score.first_token_logprob = score.logprob / std::max(1, score.num_tokens);
    scores.continuations.push_back(score);
  }
  Response response{std::move(scores), {}};
  response.usage.prompt_tokens = PromptTokens(prompt_text);
  return response;
}

Response MakeEmbedding(const Embedding& work, int dim, std::string_view prompt_text) {
  std::vector<float> values(static_cast<size_t>(dim), 0.0f);
  const uint64_t kind = static_cast<uint64_t>(work.pooling);
  size_t at = 0;
  while (at < prompt_text.size()) {
    const size_t begin = prompt_text.find_first_not_of(" \n\t\r", at);
    if (begin == std::string_view::npos) break;
    const size_t end = std::min(prompt_text.find_first_of(" \n\t\r", begin), prompt_text.size());
    const uint64_t word = HashText(prompt_text.substr(begin, end - begin), kind);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] += static_cast<float>(2.0 * RandomUniform(word, i) - 1.0);
    }
    at = end;
  }
  if (work.normalize) {
    double square = 0;
    for (const float value : values) square += static_cast<double>(value) * value;
    if (square > 0) {
      for (float& value : values) value = static_cast<float>(value / std::sqrt(square));
    }
  }
  Response response{EmbeddingVector{std::move(values)}, {}};
  response.usage.prompt_tokens = PromptTokens(prompt_text);
  return response;
}

// Whether a constraint allows the whole of a text, byte by byte.
bool Accepts(std::shared_ptr<const Grammar> grammar, std::string_view text) {
  static const auto bytes = [] {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    return std::make_shared<const grammar::Vocabulary>(std::move(tokens), std::vector<int32_t>());
  }();
  ConstraintState state = Constraint(std::move(grammar), bytes).Start();
  for (const char c : text) {
    if (!state.Commit(static_cast<uint8_t>(c))) return false;
  }
  return state.IsComplete();
}

}  // namespace

Response MakeCompletion(std::string_view text, const SamplingParams& sampling,
                        std::string_view prompt_text) {
  Completion completion;
  for (const std::string& stop : sampling.stop) {
    if (!stop.empty()) text = text.substr(0, text.find(stop));
  }
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<int>(completion.token_ids.size()) == sampling.max_new_tokens) {
      completion.finish_reason = FinishReason::kLength;
      break;
    }
    const size_t end = PieceEnd(text, at);
    const uint64_t hash = HashText(text.substr(at, end - at));
    completion.token_ids.push_back(static_cast<int32_t>(hash & 0xFFFF));
    if (sampling.num_top_logprobs >= 0) {
      TokenLogprobs logprobs;
      logprobs.token_id = completion.token_ids.back();
      logprobs.logprob = static_cast<float>(-RandomUniform(hash, at));
      for (int i = 0; i < sampling.num_top_logprobs; ++i) {
        logprobs.top.emplace_back(logprobs.token_id + i, logprobs.logprob - static_cast<float>(i));
      }
      completion.logprobs.push_back(std::move(logprobs));
    }
    at = end;
  }
  completion.text = text.substr(0, at);
  Usage usage;
  usage.prompt_tokens = PromptTokens(prompt_text);
  usage.completion_tokens = static_cast<int>(completion.token_ids.size());
  return Response{std::move(completion), usage};
}

class ScriptedModel::Impl {
 public:
  Impl(Script script, Function function, ScriptedOptions options)
      : table_(std::move(script)), function_(std::move(function)), options_(options) {
    for (int i = 0; i < options_.num_threads; ++i) threads_.emplace_back([this] { Work(); });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  const Script& script() const { return table_.script(); }
  // A script is known by its name: tests give one name to several on purpose.
  std::string AnswersKey() const {
    return Sha256()
        .Field("scripted")
        .Field(script().name)
        .Field(static_cast<uint64_t>(options_.embedding_dim))
        .Hex();
  }
  const ScriptedOptions& options() const { return options_; }

  void Submit(Request request, ResponseHandler handler) {
    num_calls_.fetch_add(1, std::memory_order_relaxed);
    const uint64_t in_flight = num_in_flight_.fetch_add(1) + 1;
    uint64_t seen = num_in_flight_max_.load();
    while (seen < in_flight && !num_in_flight_max_.compare_exchange_weak(seen, in_flight)) {
    }
    if (options_.record) {
      std::string text;
      try {
        text = ScriptedPromptText(request.prompt);
      } catch (const Error& error) {
        text = error.message();
      }
      std::lock_guard lock(mutex_);
      calls_.push_back({request.id, request.tag, std::move(text)});
    }
    if (threads_.empty()) {
      Finish(request, handler);
      return;
    }
    {
      std::lock_guard lock(mutex_);
      waiting_.emplace_back(std::move(request), std::move(handler));
    }
    wake_.notify_one();
  }

  ModelStats stats() const {
    ModelStats stats;
    stats.num_requests = num_calls_;
    stats.num_failed = num_failed_;
    stats.prompt_tokens = prompt_tokens_;
    stats.completion_tokens = completion_tokens_;
    stats.num_steps = stats.num_step_sequences = num_calls_;
    return stats;
  }

  uint64_t num_calls() const { return num_calls_; }
  uint64_t num_in_flight_max() const { return num_in_flight_max_; }

  std::vector<Call> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    for (uint64_t draw = 0;; ++draw) {
      wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      size_t index = 0;
      if (options_.shuffle_seed) {
        index = RandomBits(*options_.shuffle_seed, draw) % waiting_.size();
      }
      auto [request, handler] = std::move(waiting_[index]);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
      lock.unlock();
      Finish(request, handler);
      lock.lock();
    }
  }

  void Finish(const Request& request, const ResponseHandler& handler) {
    Response response = Answer(request);
    if (!response.ok()) num_failed_.fetch_add(1, std::memory_order_relaxed);
    prompt_tokens_.fetch_add(static_cast<uint64_t>(response.usage.prompt_tokens),
                             std::memory_order_relaxed);
    completion_tokens_.fetch_add(static_cast<uint64_t>(response.usage.completion_tokens),
                                 std::memory_order_relaxed);
    if (handler.on_text) Stream(response, handler);
    num_in_flight_.fetch_sub(1);
    if (handler.on_done) handler.on_done(std::move(response));
  }

  void Stream(const Response& response, const ResponseHandler& handler) const {
    const Completion* completion = std::get_if<Completion>(&response.result);
    if (completion == nullptr) return;
    const std::string_view text = completion->text;
    const size_t step = options_.text_bytes_per_call > 0
                            ? static_cast<size_t>(options_.text_bytes_per_call)
                            : text.size();
    for (size_t at = 0; at < text.size(); at += step) handler.on_text(text.substr(at, step));
  }

  Response Answer(const Request& request) {
    try {
      if (options_.delay_us > 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(options_.delay_us));
      }
      if (request.stop.stop_requested()) Throw(ErrorCode::kCancelled, "request was cancelled");
      if (request.deadline && std::chrono::steady_clock::now() >= *request.deadline) {
        Throw(ErrorCode::kDeadline, "request's deadline has passed");
      }
      CheckRequest(request);
      const std::string text = ScriptedPromptText(request.prompt);
      const int prompt_tokens = PromptTokens(text);
      if (prompt_tokens > options_.context_tokens_max) {
        Throw(ErrorCode::kExhausted, "prompt has {} tokens, the context holds {}", prompt_tokens,
              options_.context_tokens_max);
      }
      if (function_) return function_(request, text);
      return FromTable(request, text);
    } catch (...) {
      return Response{CurrentError(), {}};
    }
  }

  Response FromTable(const Request& request, const std::string& text) {
    ScriptTable::Match match = table_.Find(text);
    if (match.rule != nullptr && match.rule->error) CountedFailure(*match.rule, text);
    if (const auto* scoring = std::get_if<Scoring>(&request.work)) {
      return MakeScores(*scoring, match.rule ? &match.rule->scores : nullptr, text);
    }
    if (const auto* embedding = std::get_if<Embedding>(&request.work)) {
      return MakeEmbedding(*embedding, options_.embedding_dim, text);
    }
    const SamplingParams& sampling = std::get<Generation>(request.work).sampling;
    const uint64_t digest = HashText(text);
    const std::string reply = table_.Reply(match, request.tag, sampling.seed, digest);
    Response response = MakeCompletion(reply, sampling, text);
    if (const auto& constraint = std::get<Generation>(request.work).constraint) {
      auto& completion = std::get<Completion>(response.result);
      completion.constraint_met = Accepts(CompileConstraint(*constraint), completion.text);
    }
    return response;
  }

  void CountedFailure(const ScriptRule& rule, const std::string& text) {
    if (rule.num_failures >= 0) {
      std::lock_guard lock(mutex_);
      if (num_asked_[text]++ >= rule.num_failures) return;
    }
    throw *rule.error;
  }

  const ScriptTable table_;
  const Function function_;
  const ScriptedOptions options_;

  std::atomic<uint64_t> num_calls_{0}, num_failed_{0}, prompt_tokens_{0}, completion_tokens_{0};
  std::atomic<uint64_t> num_in_flight_{0}, num_in_flight_max_{0};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::pair<Request, ResponseHandler>> waiting_;
  std::unordered_map<std::string, int> num_asked_;
  std::vector<Call> calls_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

ScriptedModel::ScriptedModel(Script script, ScriptedOptions options)
    : impl_(std::make_unique<Impl>(std::move(script), nullptr, options)) {}

ScriptedModel::ScriptedModel(std::string reply)
    : ScriptedModel(Script{"scripted", {}, std::move(reply)}) {}

ScriptedModel::ScriptedModel(std::string name, Function function, ScriptedOptions options)
    : impl_(std::make_unique<Impl>(Script{std::move(name), {}, ""}, std::move(function), options)) {
}

ScriptedModel::~ScriptedModel() = default;

ModelDescription ScriptedModel::description() const {
  ModelDescription description;
  description.name = impl_->script().name;
  description.digest = Sha256().Field("scripted").Field(impl_->script().name).Hex();
  description.answers_key = impl_->AnswersKey();
  description.dispatch_level = "scripted";
  description.context_tokens_max = impl_->options().context_tokens_max;
  description.embedding_dim = impl_->options().embedding_dim;
  description.num_sequences_max = impl_->options().num_sequences_max;
  return description;
}

ModelStats ScriptedModel::stats() const { return impl_->stats(); }

std::string ScriptedModel::RequestKey(const Request& request) const {
  Sha256 digest;
  digest.Field(impl_->AnswersKey()).Field(ScriptedPromptText(request.prompt));
  AddWork(digest, request);
  return digest.Hex();
}

void ScriptedModel::Submit(Request request, ResponseHandler handler) {
  impl_->Submit(std::move(request), std::move(handler));
}

uint64_t ScriptedModel::num_calls() const { return impl_->num_calls(); }
uint64_t ScriptedModel::num_in_flight_max() const { return impl_->num_in_flight_max(); }
std::vector<ScriptedModel::Call> ScriptedModel::calls() const { return impl_->calls(); }

}  // namespace retort
