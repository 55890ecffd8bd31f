#include "retort/cli/bench_target.h"

#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/base/random.h"
#include "retort/hub/http.h"

namespace retort {
namespace {

class LocalTarget : public BenchTarget {
 public:
  LocalTarget(LanguageModel& model, std::stop_token stop) : model_(model), stop_(std::move(stop)) {}

  void Generate(std::vector<std::vector<int32_t>> prompts, int new_tokens) override {
    std::vector<std::promise<Response>> answers(prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) {
      Request request;
      request.prompt = std::move(prompts[i]);
      Generation generation;
      generation.sampling.temperature = 0;
      generation.sampling.max_new_tokens = new_tokens;
      generation.sampling.ignore_eos = true;
      request.work = generation;
      request.stop = stop_;
      ResponseHandler handler;
      handler.on_done = [answer = &answers[i]](Response response) {
        answer->set_value(std::move(response));
      };
      model_.Submit(std::move(request), std::move(handler));
    }
    std::optional<Error> failure;
    for (std::promise<Response>& answer : answers) {
      const Response response = answer.get_future().get();
      if (const Error* error = std::get_if<Error>(&response.result)) failure = *error;
    }
    if (failure) throw *failure;
  }

 private:
  LanguageModel& model_;
  const std::stop_token stop_;
};

// What a server may say: a list of models, an answer of a few thousand tokens.
constexpr uint64_t kAnswerBytesMax = uint64_t{64} << 20;
// A whole answer comes at once, at the end.
constexpr int kAnswerTimeoutS = 3600;

class RemoteTarget : public BenchTarget {
 public:
  RemoteTarget(const BenchServer& server, std::stop_token stop)
      : url_(server.url + "/completions"), model_(server.model), stop_(std::move(stop)) {
    http_.bearer_token = server.api_key;
    http_.stall_timeout_s = kAnswerTimeoutS;
  }

  void Generate(std::vector<std::vector<int32_t>> prompts, int new_tokens) override {
    if (stop_.stop_requested()) Throw(ErrorCode::kCancelled, "interrupted");
    std::mutex mutex;
    std::optional<Error> failure;
    std::vector<std::jthread> clients;
    clients.reserve(prompts.size());
    for (const std::vector<int32_t>& prompt : prompts) {
      clients.emplace_back([&] {
        try {
          Ask(prompt, new_tokens);
        } catch (const Error& error) {
          const std::lock_guard lock(mutex);
          failure = error;
        }
      });
    }
    clients.clear();  // joins
    if (failure) throw *failure;
  }

 private:
  void Ask(const std::vector<int32_t>& prompt, int new_tokens) const {
    const Json request = {{"model", model_},          {"prompt", prompt},
                          {"max_tokens", new_tokens}, {"min_tokens", new_tokens},
                          {"temperature", 0},         {"ignore_eos", true}};
    const std::string answer = HttpPostJson(url_, DumpJson(request), kAnswerBytesMax, http_);
    const Json json = ParseJson(answer, url_);
    const Json usage = json.is_object() ? json.value("usage", Json::object()) : Json::object();
    const auto expect = [&](const char* key, int64_t expected) {
      const Json found = usage.is_object() ? usage.value(key, Json()) : Json();
      if (!found.is_number_integer() || found.get<int64_t>() != expected) {
        Throw(ErrorCode::kUnavailable, "{}: asked for {} {}, the answer's usage says {}", url_,
              expected, key, found.is_null() ? "nothing" : DumpJson(found));
      }
    };
    expect("prompt_tokens", static_cast<int64_t>(prompt.size()));
    expect("completion_tokens", new_tokens);
  }

  const std::string url_;
  const std::string model_;
  const std::stop_token stop_;
  HttpOptions http_;
};

std::string FirstModel(const BenchServer& server) {
  const std::string url = server.url + "/models";
  HttpOptions http;
  http.bearer_token = server.api_key;
  const Json list = ParseJson(HttpGet(url, kAnswerBytesMax, http), url);
  const Json data = list.is_object() ? list.value("data", Json::array()) : Json::array();
  const Json first = data.is_array() && !data.empty() ? data.front() : Json();
  const Json id = first.is_object() ? first.value("id", Json()) : Json();
  if (!id.is_string()) {
    Throw(ErrorCode::kUnavailable, "{}: expected a list of models with their ids", url);
  }
  return id.get<std::string>();
}

}  // namespace

std::vector<int32_t> BenchPrompts::Next(int num_tokens) {
  constexpr uint64_t kFirstId = 3;
  constexpr uint64_t kNumIds = 250;
  std::vector<int32_t> ids(static_cast<size_t>(num_tokens));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(kFirstId + RandomBits(num_prompts_, i) % kNumIds);
  }
  ++num_prompts_;
  return ids;
}

std::unique_ptr<BenchTarget> LocalBenchTarget(LanguageModel& model, std::stop_token stop) {
  return std::make_unique<LocalTarget>(model, std::move(stop));
}

std::unique_ptr<BenchTarget> RemoteBenchTarget(BenchServer* server, std::stop_token stop) {
  while (server->url.ends_with('/')) server->url.pop_back();
  if (server->model.empty()) server->model = FirstModel(*server);
  return std::make_unique<RemoteTarget>(*server, std::move(stop));
}

}  // namespace retort
