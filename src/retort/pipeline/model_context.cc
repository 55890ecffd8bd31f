#include "retort/pipeline/model_context.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "retort/base/random.h"
#include "retort/pipeline/record_codec.h"

namespace retort {
namespace {

// Streams of draws that must not meet: a step's own, and the seeds of its generations.
constexpr uint64_t kGenerationStream = 0x67656e6572617465;

uint64_t DrawSeed(StepRuntime& step, const LineageKey& row_key) {
  Sha256 digest;
  digest.Field("draws").Field(step.key().view()).Field(row_key.view());
  return FinishKey(digest).Bits();
}

// Why an answer is not what structured_output asks for, and what to do.
Error CutError(const Completion& completion, const std::vector<std::string>& stops) {
  const size_t num_tokens = completion.token_ids.size();
  if (completion.finish_reason == FinishReason::kLength || stops.empty()) {
    return Error(
        ErrorCode::kExhausted,
        fmt::format("the answer was cut after {} tokens, before it was what structured_output asks "
                    "for: raise max_new_tokens, or say 'close: true'",
                    num_tokens));
  }
  std::string names;
  for (const std::string& stop : stops) names += (names.empty() ? "" : " or ") + DumpJson(stop);
  return Error(
      ErrorCode::kExhausted,
      fmt::format("the stop text {} cut the answer after {} tokens, before it was what "
                  "structured_output asks for: remove it from 'stop', or say 'close: true', with "
                  "which a stop text ends an answer only where it is whole",
                  names, num_tokens));
}

}  // namespace

struct ModelContext::Asked {
  Request request;
  LineageKey key;
  std::optional<Response> response;
  std::optional<Error> fatal;  // the ledger's, or that of loading the model
  uint64_t model_mark = 0;     // of the streaks of faults, when it was asked
  uint64_t step_mark = 0;
  bool from_ledger = false;  // or from an equal request whose answer went there
};

// Counts answers down. Lives on the stack of the thread that waits.
struct ModelContext::Waiter {
  std::mutex mutex;
  std::condition_variable done;
  size_t num_open = 0;

  void Arrive() {
    // Notified under the lock: the waiter is gone as soon as it can take it.
    std::lock_guard lock(mutex);
    if (--num_open == 0) done.notify_one();
  }
  void Wait() {
    std::unique_lock lock(mutex);
    done.wait(lock, [this] { return num_open == 0; });
  }
};

ModelContext::ModelContext(StepRuntime& step, Ledger* ledger, const LineageKey& row_key,
                           std::stop_token stop)
    : step_(step),
      ledger_(ledger),
      row_key_(row_key),
      stop_(std::move(stop)),
      draw_seed_(DrawSeed(step, row_key)),
      constraint_(step.graph->structured_output.constraint) {}

bool ModelContext::outputs_are_final() const {
  return all_answered_ && (step_.model == nullptr ||
                           context_tokens_ <= step_.model->description().context_tokens_max);
}

uint64_t ModelContext::Random(uint64_t draw) const { return RandomBits(draw_seed_, draw); }

std::string_view ModelContext::model_name() const {
  return step_.model == nullptr ? std::string_view() : std::string_view(step_.model->name());
}

Request ModelContext::MakeRequest(Prompt prompt) const {
  if (step_.model == nullptr) {
    Throw(ErrorCode::kInternal, "step type {} asks a model, but says it uses none",
          step_.graph->type->name);
  }
  Request request;
  request.tag = step_.graph->name() + "/" + row_key_.Hex();
  request.prompt = std::move(prompt);
  request.stop = stop_;
  return request;
}

std::vector<Answer> ModelContext::GenerateEach(std::vector<Prompt> prompts,
                                               std::shared_ptr<const ConstraintText> constraint) {
  if (constraint_ != nullptr) constraint = constraint_;
  std::vector<Request> requests;
  for (Prompt& prompt : prompts) {
    Request request = MakeRequest(std::move(prompt));
    Generation generation;
    generation.sampling = step_.sampling;
    generation.constraint = constraint;
    generation.close = step_.graph->structured_output.close;
    const uint64_t number = num_generations_++;
    // A greedy answer depends on no seed: one name for all runs.
    generation.sampling.seed = generation.sampling.temperature == 0
                                   ? 0
                                   : RandomBits(draw_seed_ ^ kGenerationStream, number);
    request.work = std::move(generation);
    requests.push_back(std::move(request));
  }
  std::vector<Answer> answers;
  for (Response& response : Ask(std::move(requests))) {
    Answer& answer = answers.emplace_back();
    answer.completion = std::get<Completion>(std::move(response.result));
    const Completion& completion = answer.completion;
    answer.as_generated = constraint_ != nullptr;
    const bool met = constraint != nullptr && completion.constraint_met;
    // A text that is all it should be is whole, whatever ended it.
    if (completion.finish_reason == FinishReason::kLength && !met) marks_.cut = true;
    if (!met && IsBlank(completion.text)) marks_.missing = true;
    if (constraint_ == nullptr || completion.constraint_met) continue;
    marks_.missing = true;
    answer.error = CutError(completion, step_.sampling.stop);
  }
  return answers;
}

std::vector<Scores> ModelContext::Score(std::vector<Prompt> prompts,
                                        std::vector<std::string> continuations) {
  std::vector<Request> requests;
  for (Prompt& prompt : prompts) {
    requests.push_back(MakeRequest(std::move(prompt)));
    requests.back().work = Scoring{continuations};
  }
  std::vector<Scores> scores;
  for (Response& response : Ask(std::move(requests))) {
    scores.push_back(std::get<Scores>(std::move(response.result)));
  }
  return scores;
}

std::vector<float> ModelContext::Embed(Prompt prompt, PoolingKind pooling, bool normalize) {
  std::vector<Request> requests;
  requests.push_back(MakeRequest(std::move(prompt)));
  requests.back().work = Embedding{pooling, normalize};
  return std::get<EmbeddingVector>(std::move(Ask(std::move(requests)).front().result)).values;
}

// Loads the model if nobody did. Null: that failed, as `asked` says now.
LanguageModel* ModelContext::Load(Asked& asked) const {
  try {
    return &step_.model->Get();
  } catch (const std::exception&) {
    asked.fatal = CurrentError();
    asked.response = Response{*asked.fatal, {}};
    return nullptr;
  }
}

void ModelContext::Submit(Asked& asked, Waiter& waiter) {
  ResponseHandler handler;
  if (ledger_ == nullptr) {
    LanguageModel* model = Load(asked);
    if (model == nullptr) return waiter.Arrive();
    handler.on_done = [&asked, &waiter](Response response) {
      asked.response = std::move(response);
      waiter.Arrive();
    };
    model->Submit(asked.request, std::move(handler));
    return;
  }
  RequestsInFlight& in_flight = step_.model->in_flight;
  const auto settle = [&asked, &waiter](const Error* error) {
    if (error != nullptr && !asked.fatal) asked.fatal = *error;
    waiter.Arrive();
  };
  if (!in_flight.Join(asked.key, [&asked, settle](const Response& response, const Error* error) {
        asked.response = response;
        asked.from_ledger = response.ok();
        settle(error);
      })) {
    return;
  }
  // Arriving comes last: it lets `asked` go.
  const auto finish = [&asked, &in_flight, settle](const Error* error) {
    in_flight.Tell(asked.key, *asked.response, error);
    settle(error);
  };
  LanguageModel* model = FindInLedger(asked) ? nullptr : Load(asked);
  if (model == nullptr) return finish(asked.fatal ? &*asked.fatal : nullptr);
  handler.on_done = [this, &asked, finish](Response response) {
    asked.response = std::move(response);
    if (!asked.response->ok()) {
      finish(nullptr);
      return;
    }
    std::optional<LedgerRecord> record;
    try {
      record = {asked.key, KindOf(asked.request), EncodeResponse(*asked.response)};
    } catch (const std::exception&) {
      const Error error = CurrentError();
      finish(&error);  // else the rows would wait for ever
      return;
    }
    ledger_->Put(std::move(*record), finish);
  };
  model->Submit(asked.request, std::move(handler));
}

bool ModelContext::FindInLedger(Asked& asked) const {
  const RecordKind kind = KindOf(asked.request);
  try {
    const auto value = ledger_->Find(asked.key, kind);
    if (!value) return false;
    asked.response = DecodeResponse(kind, *value);
    asked.from_ledger = true;
  } catch (const Error& error) {
    asked.fatal = error;
    asked.response = Response{error, {}};
  }
  return true;
}

void ModelContext::AskOnce(const std::vector<Asked*>& open) {
  Waiter waiter;
  waiter.num_open = open.size();
  for (Asked* asked : open) {
    asked->model_mark = step_.model->faults.Mark();
    asked->step_mark = step_.faults.Mark();
    Submit(*asked, waiter);
  }
  waiter.Wait();
  StepCounters& counters = step_.counters;
  for (const Asked* asked : open) {
    if (asked->fatal) {
      fatal_ = asked->fatal;
      continue;
    }
    if (asked->from_ledger) {
      ++counters.num_requests_cached;
      continue;
    }
    if (!std::holds_alternative<Error>(asked->response->result)) ++counters.num_requests;
    counters.prompt_tokens += static_cast<uint64_t>(asked->response->usage.prompt_tokens);
    counters.cached_tokens += static_cast<uint64_t>(asked->response->usage.cached_tokens);
    counters.completion_tokens += static_cast<uint64_t>(asked->response->usage.completion_tokens);
  }
}

bool ModelContext::WaitBeforeRetry(int attempt) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  const auto pause = std::chrono::milliseconds(kFirstRetryMs << (2 * attempt));
  wake.wait_for(lock, stop_, pause, [] { return false; });
  return !stop_.stop_requested();
}

std::vector<Response> ModelContext::Ask(std::vector<Request> requests) {
  const ModelIdentity& model = step_.model->Identity();
  std::vector<Asked> all(requests.size());
  std::vector<Asked*> open;
  for (size_t i = 0; i < requests.size(); ++i) {
    Asked& asked = all[i];
    asked.request = std::move(requests[i]);
    asked.request.id = model.RequestKey(asked.request);
    Sha256 digest;
    asked.key = FinishKey(digest.Field("request").Field(asked.request.id));
    open.push_back(&asked);
  }
  for (int attempt = 0; !open.empty(); ++attempt) {
    for (size_t begin = 0; begin < open.size(); begin += kRequestsAtOnceMax) {
      const size_t end = std::min(open.size(), begin + kRequestsAtOnceMax);
      AskOnce({open.begin() + static_cast<std::ptrdiff_t>(begin),
               open.begin() + static_cast<std::ptrdiff_t>(end)});
      if (fatal_) throw *fatal_;
    }
    std::erase_if(open, [](const Asked* asked) {
      const Error* error = std::get_if<Error>(&asked->response->result);
      return error == nullptr || error->code() != ErrorCode::kUnavailable;
    });
    if (open.empty() || attempt + 1 >= kAttemptsMax || !WaitBeforeRetry(attempt)) break;
  }
  for (const Asked& asked : all) {
    if (asked.from_ledger) continue;
    const Error* error = std::get_if<Error>(&asked.response->result);
    const bool away = error != nullptr && error->code() == ErrorCode::kUnavailable;
    const bool fault = error != nullptr && IsModelFault(error->code());
    const bool model_goes_on = step_.model->faults.Count(asked.model_mark, fault);
    if (!step_.faults.Count(asked.step_mark, fault) || !model_goes_on) {
      fatal_ = Error(error->code(),
                     fmt::format("model '{}' failed {} times one after another{}: {}", model_name(),
                                 kFaultsInARowMax,
                                 model_goes_on ? " at step '" + step_.graph->name() + "'" : "",
                                 error->message()));
      throw *fatal_;
    }
    if (step_.model->CountAnswer(!away)) continue;
    fatal_ = Error(error->code(), fmt::format("model '{}' left {} requests in a row unanswered: {}",
                                              model_name(), kUnansweredMax, error->message()));
    throw *fatal_;
  }
  std::vector<Response> responses;
  for (Asked& asked : all) {
    if (const Error* error = std::get_if<Error>(&asked.response->result)) {
      all_answered_ = false;
      try {
        model.CheckUnchanged();
      } catch (const std::exception&) {
        fatal_ = CurrentError();  // no other request would fare better
        throw *fatal_;
      }
      throw *error;
    }
    if (const auto* generation = std::get_if<Generation>(&asked.request.work)) {
      const int64_t most = int64_t{asked.response->usage.prompt_tokens} +
                           int64_t{generation->sampling.max_new_tokens};
      context_tokens_ = std::max(context_tokens_, most);
    }
    responses.push_back(std::move(*asked.response));
  }
  return responses;
}

}  // namespace retort
