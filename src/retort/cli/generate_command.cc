#include <CLI/CLI.hpp>

#include <unistd.h>

#include <exception>
#include <filesystem>
#include <future>

#include "retort/base/error.h"
#include "retort/base/log.h"
#include "retort/base/text_file.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/signal_stop.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"
#include "retort/grammar/grammar.h"
#include "retort/llm/request_check.h"

namespace retort {
namespace {

// At most one of them is given.
struct ConstraintOptions {
  std::string schema_file;
  std::optional<std::string> regex;
  std::string grammar_file;
  std::vector<std::string> choices;
  bool close = false;
  bool strict = false;
};

struct GenerateOptions {
  LocalModelOptions model;
  std::optional<std::string> prompt;  // unset: standard input
  std::optional<std::string> system;  // unset: the template's own, if it has one
  bool raw = false;
  int num_answers = 1;
  SamplingParams sampling;
  ConstraintOptions constraint;
  bool json = false;
  bool quiet = false;
};

// No model reads a longer text.
constexpr uint64_t kPromptBytesMax = uint64_t{64} << 20;

// Without -p the prompt is standard input.
std::string ReadPrompt(const std::optional<std::string>& given) {
  if (given) return *given;
  if (::isatty(STDIN_FILENO) != 0) {
    Throw(ErrorCode::kInvalid, "no prompt: give one with -p, or on standard input");
  }
  return TextOf(ReadStandardInput(kPromptBytesMax), "standard input");
}

constexpr uint64_t kConstraintBytesMax = 4u << 20;

// Names the file in front of what is wrong with its text.
void CheckConstraint(const ConstraintText& constraint, const std::string& file, bool strict) {
  const std::string place = file.empty() ? "" : file + ": ";
  std::shared_ptr<const Grammar> grammar;
  try {
    grammar = CompileConstraint(constraint);
  } catch (const Error& error) {
    throw Error(error.code(), place + error.message());
  }
  for (const std::string& warning : grammar->report().warnings) {
    if (strict) Throw(ErrorCode::kInvalid, "{}{}", place, warning);
    LogWarning("{}{}", place, warning);
  }
}

// Compiled here once, so that a mistake is told before the model is loaded.
std::shared_ptr<const ConstraintText> ReadConstraint(const ConstraintOptions& options) {
  std::shared_ptr<const ConstraintText> constraint;
  std::string file;
  if (!options.schema_file.empty()) {
    file = options.schema_file;
    constraint = JsonSchemaConstraint(ReadTextFile(file, kConstraintBytesMax));
  } else if (options.regex) {
    constraint = RegexConstraint(*options.regex);
  } else if (!options.grammar_file.empty()) {
    file = options.grammar_file;
    const bool lark = std::filesystem::path(file).extension() == ".lark";
    const std::string text = ReadTextFile(file, kConstraintBytesMax);
    constraint = lark ? LarkConstraint(text) : GbnfConstraint(text);
  } else if (!options.choices.empty()) {
    constraint = ChoiceConstraint(options.choices);
  }
  if (constraint != nullptr) CheckConstraint(*constraint, file, options.strict);
  return constraint;
}

Prompt MakePrompt(const GenerateOptions& options, const std::string& text) {
  if (options.raw) return std::vector<Span>{{text, true}};  // the user's own: control tokens count
  ChatPrompt chat;
  if (options.system) {
    chat.messages.push_back({{"role", "system"}, {"content", *options.system}});
  }
  chat.messages.push_back({{"role", "user"}, {"content", text}});
  return chat;
}

Json ToJson(const Completion& completion, const Usage& usage, bool constrained) {
  Json json = {
      {"text", completion.text},
      {"finish_reason", completion.finish_reason == FinishReason::kStop ? "stop" : "length"},
      {"prompt_tokens", usage.prompt_tokens},
      {"cached_tokens", usage.cached_tokens},
      {"completion_tokens", usage.completion_tokens}};
  if (constrained) json["constraint_met"] = completion.constraint_met;
  if (!completion.logprobs.empty()) {
    json["logprobs"] = Json::array();
    for (const TokenLogprobs& token : completion.logprobs) {
      Json top = Json::array();
      for (const auto& [id, logprob] : token.top)
        top.push_back({{"token", id}, {"logprob", logprob}});
      json["logprobs"].push_back(
          {{"token", token.token_id}, {"logprob", token.logprob}, {"top", top}});
    }
  }
  return json;
}

// "a" or "b".
std::string Quoted(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : " or ") + DumpJson(text);
  return all;
}

int Generate(const GenerateOptions& options) {
  const auto constraint = ReadConstraint(options.constraint);
  const std::string text = ReadPrompt(options.prompt);
  SignalStop signals;
  // Before the model, whose thread may still be in a handler when the last answer is read.
  std::vector<std::promise<Response>> answers(static_cast<size_t>(options.num_answers));
  std::exception_ptr unwritten;  // why a handler could not print
  const auto model = OpenLocalModel(options.model);
  const bool stream = options.num_answers == 1 && !options.json;
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < answers.size(); ++i) {
    Request request;
    request.prompt = MakePrompt(options, text);
    Generation generation{.sampling = options.sampling, .constraint = constraint};
    generation.close = options.constraint.close;
    generation.sampling.seed += i;
    request.work = generation;
    request.stop = signals.token();
    ResponseHandler handler;
    if (stream) {
      handler.on_text = [&](std::string_view delta) {
        if (unwritten) return;
        try {
          PrintResult(delta);
          FlushOutput();
        } catch (...) {  // no one needs the rest of the answer
          unwritten = std::current_exception();
          signals.RequestStop();
        }
      };
    }
    handler.on_done = [&answer = answers[i]](Response response) {
      answer.set_value(std::move(response));
    };
    model->Submit(std::move(request), std::move(handler));
  }
  std::optional<Error> failure;
  int num_tokens = 0;
  int num_cut = 0;
  int num_stopped = 0;
  for (auto& answer : answers) {
    const Response response = answer.get_future().get();
    if (unwritten) std::rethrow_exception(unwritten);
    if (const Error* error = std::get_if<Error>(&response.result)) {
      failure = *error;
      continue;
    }
    const auto& completion = std::get<Completion>(response.result);
    num_tokens += response.usage.completion_tokens;
    if (!completion.constraint_met) {
      ++(completion.finish_reason == FinishReason::kLength ? num_cut : num_stopped);
    }
    if (options.json) {
      PrintResult(DumpJson(ToJson(completion, response.usage, constraint != nullptr)) + "\n");
    } else {
      PrintResult((stream ? "" : completion.text) + "\n");
    }
    FlushOutput();
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  if (!options.quiet && num_tokens > 0) {
    Note("{} tokens in {}, {:.1f} tokens/s\n", num_tokens, FormatSeconds(elapsed.count()),
         num_tokens / elapsed.count());
  }
  if (num_cut > 0) {
    Note(
        "{} of {} answers were cut before they met the constraint: raise --max-new-tokens, or "
        "give --close\n",
        num_cut, answers.size());
  }
  if (num_stopped > 0) {
    Note(
        "{} of {} answers were cut by the stop text {} before they met the constraint: remove it, "
        "or give --close, with which it ends an answer only where it is whole\n",
        num_stopped, answers.size(), Quoted(options.sampling.stop));
  }
  if (failure) throw *failure;
  return num_cut + num_stopped > 0 ? kExitFailedRows : kExitDone;
}

void AddConstraintOptions(CLI::App& app, ConstraintOptions& options) {
  CLI::Option* schema = app.add_option("--schema", options.schema_file,
                                       "The answer is JSON that this JSON Schema (a file) accepts")
                            ->transform(IsPath());
  CLI::Option* regex = app.add_option("--regex", options.regex,
                                      "The answer matches this regular expression as a whole");
  CLI::Option* grammar = app.add_option("--grammar", options.grammar_file,
                                        "The answer is a text of this grammar: a file in GBNF, or "
                                        "in Lark's syntax if it ends in .lark")
                             ->transform(IsPath());
  CLI::Option* choice =
      app.add_option("--choice", options.choices, "The answer is this text; repeat it for others");
  choice->allow_extra_args(false)->option_text("TEXT");
  app.add_flag("--close", options.close,
               "With one of these: end the answer within --max-new-tokens, so that it is whole");
  app.add_flag("--strict", options.strict,
               "With one of these: keywords and formats that constrain nothing are errors");
  schema->excludes(regex)->excludes(grammar)->excludes(choice);
  regex->excludes(grammar)->excludes(choice);
  grammar->excludes(choice);
}

}  // namespace

std::function<int()> AddGenerateCommand(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  AddLocalModelOptions(app, options->model);
  SamplingParams& sampling = options->sampling;
  app.add_option("-p,--prompt", options->prompt, "The prompt (default: standard input)");
  app.add_option("--system", options->system, "A system message before it");
  app.add_flag("--raw", options->raw, "Send the prompt as it is, without the chat template");
  app.add_option("-n,--n", options->num_answers, "Answers, with seeds that follow one another")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--temperature", sampling.temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "0: all")->check(AtLeast(0));
  app.add_option("--top-p", sampling.top_p)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--min-p", sampling.min_p)->check(CLI::Range(0.0, 1.0));
  app.add_option("--seed", sampling.seed)->check(AtLeast(0))->capture_default_str();
  app.add_option("--max-new-tokens", sampling.max_new_tokens)
      ->check(AtLeast(1))
      ->capture_default_str();
  app.add_option("--stop", sampling.stop, "Text that ends the answer; may be repeated")
      ->allow_extra_args(false)
      ->option_text("TEXT");
  AddConstraintOptions(app, options->constraint);
  CLI::Option* logprobs =
      app.add_option("--logprobs", sampling.num_top_logprobs,
                     "With --json: log-probability of each token and of the n likeliest");
  logprobs->check(CLI::Range(0, kTopLogprobsMax))
      ->needs(app.add_flag("--json", options->json, "One JSON object per answer"));
  app.add_flag("-q,--quiet", options->quiet, "Do not say how fast it was");
  return [options] { return Generate(*options); };
}

}  // namespace retort
