#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <future>
#include <sstream>

#include "retort/base/error.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/standard_streams.h"

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
// All texts are in memory before the first is asked about.
constexpr uint64_t kTextsBytesMax = uint64_t{1} << 30;

Request MakeRequest(const EmbedOptions& options, const std::string& text) {
  Request request;
  request.prompt = std::vector<Span>{{text, false}};
  request.work =
      Embedding{.pooling = options.pooling == "mean" ? PoolingKind::kMean : PoolingKind::kLastToken,
                .normalize = options.normalize};
  return request;
}

// Prints the embeddings of `texts`, which come after `num_before` others, and null for those that
// have none, with the reason on standard error. Returns how many have none.
size_t EmbedSome(const EmbedOptions& options, LanguageModel& model, std::vector<std::string> texts,
                 size_t num_before) {
  // Owned by the handlers too: the model's thread may still be in one when its answer is read.
  std::vector<std::shared_ptr<std::promise<Response>>> answers;
  for (const std::string& text : texts) {
    auto& answer = answers.emplace_back(std::make_shared<std::promise<Response>>());
    ResponseHandler handler;
    handler.on_done = [answer](Response response) { answer->set_value(std::move(response)); };
    model.Submit(MakeRequest(options, text), std::move(handler));
  }
  size_t num_failed = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Response response = answers[i]->get_future().get();
    Json line = {{"text", texts[i]}, {"embedding", nullptr}, {"tokens", 0}};
    if (const Error* error = std::get_if<Error>(&response.result)) {
      ++num_failed;
      Note("text {} has no embedding: {}\n", num_before + i + 1,
           texts[i].empty() ? "it is empty" : error->message());
    } else {
      line["embedding"] = std::get<EmbeddingVector>(response.result).values;
      line["tokens"] = response.usage.prompt_tokens;
    }
    PrintResult(DumpJson(line) + "\n");
  }
  return num_failed;
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  std::istringstream in(text.starts_with(kByteOrderMark) ? text.substr(kByteOrderMark.size())
                                                         : text);
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
  }
  return lines;
}

int Embed(const EmbedOptions& options) {
  std::vector<std::string> texts = options.texts;
  if (texts.empty()) texts = LinesOf(ReadStandardInput(kTextsBytesMax));
  if (texts.empty()) {
    Throw(ErrorCode::kInvalid, "nothing to embed: give texts, or lines on standard input");
  }
  const auto model = OpenLocalModel(options.model);
  size_t num_failed = 0;
  for (size_t begin = 0; begin < texts.size(); begin += kTextsAtOnce) {
    const size_t end = std::min(texts.size(), begin + kTextsAtOnce);
    num_failed += EmbedSome(options, *model, {texts.begin() + begin, texts.begin() + end}, begin);
    FlushOutput();
  }
  if (num_failed > 0) Note("{} of {} texts have no embedding\n", num_failed, texts.size());
  return num_failed > 0 ? kExitFailedRows : kExitDone;
}

}  // namespace

std::function<int()> AddEmbedCommand(CLI::App& app) {
  auto options = std::make_shared<EmbedOptions>();
  AddLocalModelOptions(app, options->model);
  app.add_option("texts", options->texts, "Texts (default: the lines of standard input)")
      ->allow_extra_args(false);  // or the parser takes "[a, b]" for two
  app.add_option("--pooling", options->pooling, "last or mean")
      ->check(CLI::IsMember({"last", "mean"}))
      ->capture_default_str();
  app.add_flag("--normalize", options->normalize, "Scale to length 1");
  return [options] { return Embed(*options); };
}

}  // namespace retort
