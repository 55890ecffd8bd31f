#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/json.h"
#include "retort/chat/span.h"
#include "retort/chat/template.h"

namespace retort {

// How a template reads `content`. Found by rendering it, once, when it is parsed.
enum class ContentShape {
  kString,  // "Hello": what most templates expect
  kParts,   // [{"type": "text", "text": "Hello"}]: the template looks into a list
  kEither,  // both render
};

struct ChatRequest {
  // Array of {"role", "content", "tool_calls" ...}, as in OpenAI's chat API.
  Json messages = Json::array();
  // Array of tool descriptions; null if there are none.
  Json tools;
  bool add_generation_prompt = true;
  // More variables for the template (enable_thinking, documents ...); an object. They may not name
  // one of the variables above, bos_token or eos_token.
  Json extra = Json::object();
  // What strftime_now() sees. See RenderOptions::clock.
  std::optional<std::chrono::local_seconds> clock;
  std::stop_token stop;  // see RenderOptions::stop
};

// The chat template of one model. Immutable and thread-safe.
class ChatTemplate {
 public:
  // Throws as Template::Parse does. `bos_token` and `eos_token` are the texts of the special
  // tokens;
  // "" where a model has none.
  static ChatTemplate Parse(std::string_view source, std::string_view bos_token,
                            std::string_view eos_token, std::string_view origin);

  // Picks and parses the template of a checkpoint. `jinja_source` is the text of
  // chat_template.jinja (empty optional if there is no such file) and wins, as in transformers;
  // else `tokenizer_config` is the content of tokenizer_config.json, whose `chat_template` is a
  // string or a list of {"name", "template"}: "default", and "tool_use" for requests with tools.
  // Throws Error{kNotFound}, which says what to do, if neither has one.
  static ChatTemplate FromCheckpoint(const Json& tokenizer_config,
                                     const std::optional<std::string>& jinja_source,
                                     std::string_view origin);

  // The prompt of a conversation. Content that is not in the template's shape is brought into it: a
  // list of text parts is joined for kString, a string becomes one text part for kParts; parts that
  // are not text are Error{kUnsupported}. The template's own raise_exception is Error{kInvalid}.
  std::vector<Span> Render(const ChatRequest& request) const;

  ContentShape content_shape() const { return content_shape_; }
  // True if the template reads `tools`, so that they need not be described by other means.
  bool uses_tools() const;

 private:
  ChatTemplate(Template base, std::optional<Template> with_tools, std::string_view bos_token,
               std::string_view eos_token);
  std::vector<Span> RenderMessages(const Template& which, const Json& messages,
                                   const ChatRequest& request,
                                   uint64_t steps_max = kRenderStepsMax) const;

  Template base_;
  std::optional<Template> with_tools_;
  std::string bos_token_;
  std::string eos_token_;
  ContentShape content_shape_ = ContentShape::kString;
};

// `messages` with every `content` in `shape`. See ChatTemplate::Render.
Json NormalizeContent(const Json& messages, ContentShape shape);

}  // namespace retort
