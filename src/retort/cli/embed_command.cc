#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <future>
#include <iostream>

#include "retort/base/error.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"

namespace retort {
namespace {

struct EmbedOptions {
  LocalModelOptions model;
  std::vector<std::string> texts;
  std::string pooling = "last";
  bool normalize = false;
};

// Fewer than an engine lets wait.
constexpr size_t kTextsAtOnce = 1024;

Request MakeRequest(const EmbedOptions& options, const std::string& text) {
  Request request;
  request.prompt = std::vector<Span>{{text, false}};
  request.work =
      Embedding{.pooling = options.pooling == "mean" ? PoolingKind::kMean : PoolingKind::kLastToken,
                .normalize = options.normalize};
  return request;
}

// Prints the embeddings of `texts`, which come after `num_before` others. A text that fails leaves
// its error in `failure` and does not hold the others up.
void EmbedSome(const EmbedOptions& options, LanguageModel& model, std::vector<std::string> texts,
               size_t num_before, std::optional<Error>& failure) {
  // Owned by the handlers too: the model's thread may still be in one when its answer is read.
  std::vector<std::shared_ptr<std::promise<Response>>> answers;
  for (const std::string& text : texts) {
    auto& answer = answers.emplace_back(std::make_shared<std::promise<Response>>());
    ResponseHandler handler;
    handler.on_done = [answer](Response response) { answer->set_value(std::move(response)); };
    model.Submit(MakeRequest(options, text), std::move(handler));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const Response response = answers[i]->get_future().get();
    if (const Error* error = std::get_if<Error>(&response.result)) {
      failure =
          Error(error->code(), fmt::format("text {}: {}", num_before + i + 1, error->message()));
      continue;
    }
    fmt::print("{}\n", DumpJson({{"text", texts[i]},
                                 {"embedding", std::get<EmbeddingVector>(response.result).values},
                                 {"tokens", response.usage.prompt_tokens}}));
  }
}

int Embed(const EmbedOptions& options) {
  std::vector<std::string> texts = options.texts;
  if (texts.empty()) {
    for (std::string line; std::getline(std::cin, line);) {
      if (line.ends_with('\r')) line.pop_back();
      texts.push_back(std::move(line));
    }
  }
  if (texts.empty()) {
    Throw(ErrorCode::kInvalid, "nothing to embed: give texts, or lines on standard input");
  }
  const auto model = OpenLocalModel(options.model);
  std::optional<Error> failure;
  for (size_t begin = 0; begin < texts.size(); begin += kTextsAtOnce) {
    const size_t end = std::min(texts.size(), begin + kTextsAtOnce);
    EmbedSome(options, *model, {texts.begin() + begin, texts.begin() + end}, begin, failure);
  }
  if (failure) throw *failure;
  return 0;
}

}  // namespace

std::function<int()> AddEmbedCommand(CLI::App& app) {
  auto options = std::make_shared<EmbedOptions>();
  AddLocalModelOptions(app, options->model);
  app.add_option("texts", options->texts, "Texts (default: the lines of standard input)");
  app.add_option("--pooling", options->pooling, "last or mean")
      ->check(CLI::IsMember({"last", "mean"}))
      ->capture_default_str();
  app.add_flag("--normalize", options->normalize, "Scale to length 1");
  return [options] { return Embed(*options); };
}

}  // namespace retort
