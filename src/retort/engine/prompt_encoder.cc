#include "retort/engine/prompt_encoder.h"

#include <algorithm>

#include "retort/base/error.h"
#include "retort/checkpoint/checkpoint.h"
#include "retort/tokenizer/load_tokenizer.h"

namespace retort {
namespace {

std::shared_ptr<const Tokenizer> LoadTokenizer(const Checkpoint& checkpoint) {
  const std::string origin = checkpoint.path().string();
  if (checkpoint.kind() == CheckpointKind::kGguf) {
    return TokenizerFromGguf(checkpoint.metadata(), origin);
  }
  const auto json = checkpoint.TextFile("tokenizer.json");
  if (!json) Throw(ErrorCode::kNotFound, "'{}' has no tokenizer.json", origin);
  return LoadTokenizerJson(*json, origin + "/tokenizer.json",
                           checkpoint.TextFile("tokenizer_config.json").value_or(""));
}

// The date that templates see which ask for today's: Llama 3's own, for want of a clock. A prompt
// that changed from day to day could not be repeated; who wants another date passes the template's
// own variable ("date_string") as an argument.
constexpr std::chrono::local_days kTemplateDate{std::chrono::year(2024) / 7 / 26};

std::string TextOf(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? std::string(tokenizer.TokenBytes(*id)) : std::string();
}

ChatTemplate LoadChatTemplate(const Checkpoint& checkpoint, const Tokenizer& tokenizer) {
  const std::string origin = checkpoint.path().string();
  const Json& metadata = checkpoint.metadata();
  Json config = Json::object();
  if (checkpoint.kind() == CheckpointKind::kSafetensors) {
    if (metadata.contains("tokenizer_config")) config = metadata["tokenizer_config"];
    return ChatTemplate::FromCheckpoint(config, checkpoint.TextFile("chat_template.jinja"), origin);
  }
  static constexpr std::string_view kKey = "tokenizer.chat_template";
  Json templates = Json::array();
  for (const auto& [key, value] : metadata.items()) {
    if (!std::string_view(key).starts_with(kKey) || !value.is_string()) continue;
    const std::string name = key == kKey ? "default" : key.substr(kKey.size() + 1);
    templates.push_back({{"name", name}, {"template", value}});
  }
  if (!templates.empty()) config["chat_template"] = std::move(templates);
  config["bos_token"] = TextOf(tokenizer, tokenizer.bos_id());
  config["eos_token"] = TextOf(tokenizer, tokenizer.eos_id());
  return ChatTemplate::FromCheckpoint(config, std::nullopt, origin);
}

std::vector<int32_t> EncodeSpans(const Tokenizer& tokenizer, const std::vector<Span>& spans) {
  std::vector<TextPiece> pieces;
  pieces.reserve(spans.size());
  for (const Span& span : spans) pieces.push_back({span.text, span.is_template});
  return tokenizer.Encode(pieces);
}

}  // namespace

PromptEncoder::PromptEncoder(const Checkpoint& checkpoint, int64_t vocab_size)
    : tokenizer_(LoadTokenizer(checkpoint)), vocab_size_(vocab_size) {
  try {
    chat_template_ = LoadChatTemplate(checkpoint, *tokenizer_);
  } catch (...) {  // the model can still be given text
    no_template_ = CurrentError();
  }
}

std::vector<Span> PromptEncoder::Render(const ChatPrompt& prompt,
                                        const std::stop_token& stop) const {
  if (!chat_template_) throw *no_template_;
  ChatRequest request;
  request.messages = prompt.messages;
  request.tools = prompt.tools;
  request.add_generation_prompt = prompt.add_generation_prompt;
  request.extra = prompt.template_arguments;
  request.clock = kTemplateDate;
  request.stop = stop;
  return chat_template_->Render(request);
}

PromptEncoder::Encoded PromptEncoder::Encode(const Request& request) const {
  Encoded encoded;
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&request.prompt)) {
    encoded.token_ids = *ids;
  } else if (const auto* spans = std::get_if<std::vector<Span>>(&request.prompt)) {
    const auto before = tokenizer_->prefix_ids();
    encoded.token_ids.assign(before.begin(), before.end());
    const std::vector<int32_t> text = EncodeSpans(*tokenizer_, *spans);
    encoded.token_ids.insert(encoded.token_ids.end(), text.begin(), text.end());
    encoded.answer_is_a_text = text.empty();
    if (std::holds_alternative<Embedding>(request.work)) {
      const auto after = tokenizer_->suffix_ids();
      encoded.token_ids.insert(encoded.token_ids.end(), after.begin(), after.end());
    }
  } else {
    encoded.token_ids =
        EncodeSpans(*tokenizer_, Render(std::get<ChatPrompt>(request.prompt), request.stop));
    encoded.answer_is_a_text = true;
  }
  if (encoded.token_ids.empty()) Throw(ErrorCode::kInvalid, "the prompt has no tokens");
  for (const int32_t id : encoded.token_ids) {
    if (id < 0 || id >= vocab_size_) {
      Throw(ErrorCode::kInvalid,
            "token id {} of the prompt is outside the model's vocabulary of {}", id, vocab_size_);
    }
  }
  return encoded;
}

std::vector<int32_t> PromptEncoder::EncodeContinuation(std::string_view text) const {
  // Encoded behind a newline, with which next to no vocabulary merges other text; where one does,
  // the text is encoded by itself.
  static constexpr std::string_view kAnchor = "\n";
  const std::vector<int32_t> anchor = tokenizer_->Encode(kAnchor, /*parse_special=*/false);
  std::vector<int32_t> ids =
      tokenizer_->Encode(std::string(kAnchor) + std::string(text), /*parse_special=*/false);
  if (ids.size() > anchor.size() && std::equal(anchor.begin(), anchor.end(), ids.begin())) {
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(anchor.size()));
  } else {
    ids = tokenizer_->Encode(text, /*parse_special=*/false);
  }
  if (ids.empty()) Throw(ErrorCode::kInvalid, "continuation '{}' has no tokens", text);
  return ids;
}

}  // namespace retort
