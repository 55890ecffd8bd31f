#include "retort/tasks/list_scorer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "retort/base/error.h"
#include "retort/llm/request_check.h"

namespace retort {
namespace {

bool Expectation(const Params& params) { return params.String("scoring") == "expectation"; }

TaskPrompt PromptOf(const Params& params, const ListScorerTexts& texts) {
  const bool expectation = Expectation(params);
  std::vector<std::string_view> variables(texts.other_variables.begin(),
                                          texts.other_variables.end());
  variables.push_back(expectation ? texts.item_variable : texts.list_variable);
  const std::string source =
      params.Has("template")
          ? params.String("template")
          : std::string(expectation ? texts.expectation_template : texts.listwise_template);
  return TaskPrompt(source, "template", variables, params);
}

// The number a score token spells, or its place in the list (from 1) if it spells none.
std::vector<double> ValuesOf(const std::vector<std::string>& tokens) {
  std::vector<double> values;
  for (const std::string& token : tokens) {
    double value = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    const bool number = error == std::errc() && end == token.data() + token.size();
    values.push_back(number ? value : static_cast<double>(values.size() + 1));
  }
  return values;
}

// A cursor over one line of an answer.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  void Skip(std::string_view characters) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(characters), rest_.size()));
  }
  bool SkipWord(std::string_view lower_case) {
    if (rest_.size() < lower_case.size()) return false;
    for (size_t i = 0; i < lower_case.size(); ++i) {
      if ((rest_[i] | 0x20) != lower_case[i]) return false;
    }
    rest_.remove_prefix(lower_case.size());
    return true;
  }
  std::optional<double> Number() {
    double value = 0;
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + rest_.size(), value, std::chars_format::fixed);
    if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  bool StartsWithLetter() const {
    return !rest_.empty() && (rest_[0] | 0x20) >= 'a' && (rest_[0] | 0x20) <= 'z';
  }
  bool StartsWithDigit() const { return !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9'; }

 private:
  std::string_view rest_;
};

struct ScoreLine {
  size_t item;  // from 1
  double score;
};

// "[2] Score: 4", "2. 4", "2) score = 4.5", "- [2]: 4/6"
std::optional<ScoreLine> ReadScoreLine(std::string_view line) {
  LineReader reader(line);
  reader.Skip(" \t-*#");
  const bool bracket = !reader.StartsWithDigit();
  if (bracket) reader.Skip("[(");
  if (!reader.StartsWithDigit()) return std::nullopt;
  const std::optional<double> item = reader.Number();
  if (!item || *item < 1 || *item != std::floor(*item) || *item > 1e6) return std::nullopt;
  reader.Skip("])}.: \t*");
  reader.SkipWord("score");
  reader.Skip(" \t:=-*[(");
  if (!reader.StartsWithDigit()) return std::nullopt;
  const std::optional<double> score = reader.Number();
  if (!score || reader.StartsWithLetter()) return std::nullopt;  // "3rd", "1e9"
  return ScoreLine{static_cast<size_t>(*item), *score};
}

}  // namespace

std::vector<double> ParseListwiseScores(std::string_view answer, size_t num_items) {
  std::vector<std::optional<double>> scores(num_items);
  for (size_t begin = 0; begin < answer.size();) {
    const size_t end = std::min(answer.find('\n', begin), answer.size());
    const auto line = ReadScoreLine(answer.substr(begin, end - begin));
    begin = end + 1;
    if (!line || line->item > num_items) continue;
    if (line->score < kListwiseScoreMin || line->score > kListwiseScoreMax) {
      Throw(ErrorCode::kInvalid, "the answer scores item {} with {}, off the scale of {} to {}",
            line->item, line->score, kListwiseScoreMin, kListwiseScoreMax);
    }
    std::optional<double>& score = scores[line->item - 1];
    if (score && *score != line->score) {
      Throw(ErrorCode::kInvalid, "the answer scores item {} twice: {} and {}", line->item, *score,
            line->score);
    }
    score = line->score;
  }
  std::vector<double> found;
  for (size_t i = 0; i < num_items; ++i) {
    if (!scores[i]) {
      Throw(ErrorCode::kInvalid, "the answer has no score for item {} of {}", i + 1, num_items);
    }
    found.push_back(*scores[i]);
  }
  return found;
}

std::shared_ptr<const ConstraintText> ListwiseConstraint(size_t num_items) {
  std::string pattern;
  for (size_t i = 1; i <= num_items; ++i) {
    pattern += fmt::format("{}\\[{}\\] Score: [{}-{}]", i == 1 ? "" : "\\n", i, kListwiseScoreMin,
                           kListwiseScoreMax);
  }
  return RegexConstraint(std::move(pattern));
}

ListScorer::ListScorer(const Params& params, const ListScorerTexts& texts)
    : list_variable_(texts.list_variable),
      item_variable_(texts.item_variable),
      other_variables_(texts.other_variables.begin(), texts.other_variables.end()),
      expectation_(Expectation(params)),
      score_tokens_(params.Strings("score_tokens")),
      score_values_(ValuesOf(score_tokens_)),
      prompt_(PromptOf(params, texts)) {
  if (score_tokens_.size() < 2 || std::count(score_tokens_.begin(), score_tokens_.end(), "") > 0) {
    Throw(ErrorCode::kInvalid, "parameter 'score_tokens' needs two tokens or more, none empty");
  }
  Request request;
  request.work = Scoring{score_tokens_};
  try {
    CheckRequest(request);
  } catch (const Error& error) {
    Throw(error.code(), "parameter 'score_tokens': {}", error.message());
  }
  // Else all items of a row would get one score.
  const std::string& scored = expectation_ ? item_variable_ : list_variable_;
  if (!prompt_.Uses(scored)) {
    Throw(
        ErrorCode::kInvalid,
        "parameter 'template' does not use '{}', which is to be scored: write '{{{{ {} }}}}' where "
        "its value belongs",
        scored, scored);
  }
}

std::vector<std::string> ListScorer::Warnings() const {
  std::vector<std::string> warnings = prompt_.warnings();
  for (const std::string& name : other_variables_) {
    if (prompt_.Uses(name)) continue;
    warnings.push_back(
        fmt::format("parameter 'template' does not use '{}': its value is in no prompt", name));
  }
  return warnings;
}

Json ListScorer::Scores(const Row& inputs, RowContext& context) const {
  const Json& items = inputs.at(list_variable_);
  Row values = inputs;
  Json& present = values[list_variable_] = Json::array();
  for (const Json& item : items) {
    if (!item.is_null()) present.push_back(item);
  }
  if (present.empty()) return Json(items.size(), nullptr);
  Json found = expectation_ ? ExpectedScores(values, context)
                            : ListwiseScores(values, present.size(), context);
  Json scores = Json::array();
  size_t next = 0;
  for (const Json& item : items) {
    scores.push_back(item.is_null() ? Json(nullptr) : std::move(found[next++]));
  }
  return scores;
}

Json ListScorer::ListwiseScores(const Row& inputs, size_t num_items, RowContext& context) const {
  std::vector<Prompt> prompts = {prompt_.Render(inputs, context.stop())};
  // A model that honours it cannot answer wrongly; another's answer is read as it is.
  const Completion completion =
      context.Generate(std::move(prompts), ListwiseConstraint(num_items)).front();
  context.KeepRaw(completion.text);
  return ParseListwiseScores(completion.text, num_items);
}

Json ListScorer::ExpectedScores(const Row& inputs, RowContext& context) const {
  std::vector<Prompt> prompts;
  Json values = inputs;
  const Json& items = inputs.at(list_variable_);
  for (const Json& item : items) {
    values[item_variable_] = item;
    prompts.push_back(prompt_.Render(values, context.stop()));
  }
  Json scores = Json::array();
  for (const retort::Scores& answer : context.Score(std::move(prompts), score_tokens_)) {
    // softmax over the score tokens alone, from the log-probabilities of the whole vocabulary
    double largest = -INFINITY;
    for (const ContinuationScore& token : answer.continuations) {
      largest = std::max(largest, token.first_token_logprob);
    }
    double sum = 0;
    double weighted = 0;
    for (size_t k = 0; k < score_values_.size(); ++k) {
      const double weight = std::exp(answer.continuations.at(k).first_token_logprob - largest);
      sum += weight;
      weighted += weight * score_values_[k];
    }
    if (!std::isfinite(weighted / sum)) {
      Throw(ErrorCode::kInvalid, "the model gives no score token a finite probability");
    }
    scores.push_back(weighted / sum);
  }
  return scores;
}

namespace {

std::vector<ParamSpec> ListScorerParams() {
  return WithPromptParams(
      {{.name = "scoring",
        .type = ParamType::kString,
        .default_value = "listwise",
        .choices = {"listwise", "expectation"},
        .help =
            "listwise: ask for a line per text and parse it; expectation: the mean of the score "
            "tokens under the model's distribution, one forward pass per text."},
       {.name = "score_tokens",
        .type = ParamType::kStringList,
        .default_value = {"1", "2", "3", "4", "5", "6"},
        .help = "scoring: expectation. The tokens that may follow the prompt; each counts as the "
                "number it spells."}},
      "Jinja template of the prompt: over the list of texts if listwise, over one text if "
      "expectation.");
}

ModelUse ModelUseOf(const Params& params) {
  return Expectation(params) ? ModelUse::kScore : ModelUse::kGenerate;
}

std::vector<std::pair<std::string_view, InputKind>> InputKindsOf(const ListScorerTexts& texts) {
  std::vector<std::pair<std::string_view, InputKind>> types;
  for (const std::string_view name : texts.other_variables) {
    types.emplace_back(name, InputKind::kText);
  }
  types.emplace_back(texts.list_variable, InputKind::kTextList);
  return types;
}

class ListScorerStep : public RowStep {
 public:
  ListScorerStep(const Params& params, const ListScorerTexts& texts) : scorer_(params, texts) {}

  Row Process(const Row& inputs, RowContext& context) const override {
    return {{"scores", scorer_.Scores(inputs, context)}, {"model_name", context.model_name()}};
  }

 private:
  ListScorer scorer_;
};

}  // namespace

StepType MakeListScorerType(std::string_view name, std::string_view summary,
                            const ListScorerTexts& texts) {
  return {
      .name = name,
      .summary = summary,
      .example = "scoring: expectation",
      .version = 2,
      .kind = StepKind::kRow,
      .params = ListScorerParams(),
      .inputs =
          [texts](const Params&) {
            std::vector<std::string> columns(texts.other_variables.begin(),
                                             texts.other_variables.end());
            columns.emplace_back(texts.list_variable);
            return columns;
          },
      .outputs =
          [](const Params&) {
            return std::vector<std::string>{"scores", "model_name"};
          },
      .input_kinds = InputKindsOf(texts),
      .check = [texts](const Params& params) { ListScorer(params, texts); },
      .warnings = [texts](const Params& params) { return ListScorer(params, texts).Warnings(); },
      .model_use = ModelUseOf,
      .create = [texts](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<ListScorerStep>(params, texts);
      },
  };
}

}  // namespace retort
