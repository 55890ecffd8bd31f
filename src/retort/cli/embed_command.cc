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

int Embed(const EmbedOptions& options) {
  std::vector<std::string> texts = options.texts;
  if (texts.empty()) {
    for (std::string line; std::getline(std::cin, line);) texts.push_back(line);
  }
  if (texts.empty()) {
    Throw(ErrorCode::kInvalid, "nothing to embed: give texts, or lines on standard input");
  }
  const auto model = OpenLocalModel(options.model);
  std::vector<std::promise<Response>> answers(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    Request request;
    request.prompt = std::vector<Span>{{texts[i], false}};
    request.work = Embedding{
        .pooling = options.pooling == "mean" ? PoolingKind::kMean : PoolingKind::kLastToken,
        .normalize = options.normalize};
    ResponseHandler handler;
    handler.on_done = [&answer = answers[i]](Response response) {
      answer.set_value(std::move(response));
    };
    model->Submit(std::move(request), std::move(handler));
  }
  std::optional<Error> failure;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Response response = answers[i].get_future().get();
    if (const Error* error = std::get_if<Error>(&response.result)) {
      failure = Error(error->code(), fmt::format("text {}: {}", i + 1, error->message()));
      continue;
    }
    fmt::print("{}\n", DumpJson({{"text", texts[i]},
                                 {"embedding", std::get<EmbeddingVector>(response.result).values},
                                 {"tokens", response.usage.prompt_tokens}}));
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
