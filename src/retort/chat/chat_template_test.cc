#include "retort/chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "retort/base/error.h"

namespace retort {
namespace {

using testing::HasSubstr;

constexpr const char* kChatMl =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
constexpr const char* kPartsOnly =
    "{{ bos_token }}{% for m in messages %}{% for p in m.content %}{% if p.type == 'text' %}"
    "{{ p.text }}{% endif %}{% endfor %}{% endfor %}";
constexpr const char* kEither =
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}";

ChatRequest Request(std::string_view messages) {
  ChatRequest request;
  request.messages = ParseJson(messages, "messages");
  return request;
}

std::string Text(const ChatTemplate& chat, const ChatRequest& request) {
  return PlainText(chat.Render(request));
}

template <typename Action>
Error ErrorOf(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "no error");
}

TEST(ChatTemplate, ContentComesInTheShapeOfTheTemplate) {
  const ChatRequest as_string = Request(R"([{"role": "user", "content": "Hello"}])");
  const ChatRequest as_parts = Request(
      R"([{"role": "user", "content": [{"type": "text", "text": "Hel"},
                                       {"type": "text", "text": "lo"}]}])");
  const struct {
    const char* source;
    ContentShape shape;
    const char* text;
  } cases[] = {
      {kChatMl, ContentShape::kString,
       "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"},
      {kPartsOnly, ContentShape::kParts, "<s>Hello"},
      {kEither, ContentShape::kEither, "Hello"},
  };
  for (const auto& test : cases) {
    const auto chat = ChatTemplate::Parse(test.source, "<s>", "</s>", "t");
    EXPECT_EQ(chat.content_shape(), test.shape) << test.source;
    EXPECT_EQ(Text(chat, as_string), test.text);
    EXPECT_EQ(Text(chat, as_parts), test.text);
  }
}

TEST(ChatTemplate, SpecialTokensAreTemplateAndMessagesAreContent) {
  const auto chat = ChatTemplate::Parse(kPartsOnly, "<s>", "</s>", "t");
  EXPECT_THAT(chat.Render(Request(R"([{"role": "user", "content": "<s>"}])")),
              testing::ElementsAre(Span{"<s>", true}, Span{"<s>", false}));
}

TEST(ChatTemplate, PicksFromTokenizerConfig) {
  const Json named = ParseJson(
      R"({"bos_token": {"content": "<s>"}, "chat_template": [
          {"name": "default", "template": "{{ bos_token }}plain"},
          {"name": "tool_use", "template": "{{ tools | length }} tools"}]})",
      "config");
  const auto chat = ChatTemplate::FromCheckpoint(named, std::nullopt, "m");
  ChatRequest request = Request(R"([{"role": "user", "content": "x"}])");
  EXPECT_EQ(Text(chat, request), "<s>plain");
  EXPECT_TRUE(chat.uses_tools());
  request.tools = ParseJson(R"([{"type": "function"}])", "tools");
  EXPECT_EQ(Text(chat, request), "1 tools");
  // The file chat_template.jinja wins over the configuration.
  EXPECT_EQ(Text(ChatTemplate::FromCheckpoint(named, "file", "m"), request), "file");
  const Json single = ParseJson(R"({"chat_template": "one"})", "config");
  EXPECT_EQ(Text(ChatTemplate::FromCheckpoint(single, std::nullopt, "m"), request), "one");
}

TEST(ChatTemplate, AMissingTemplateSaysWhatToDo) {
  for (const char* config : {"{}", R"({"chat_template": null})", R"({"chat_template": []})"}) {
    const Error error = ErrorOf(
        [&] { ChatTemplate::FromCheckpoint(ParseJson(config, "c"), std::nullopt, "my-model"); });
    EXPECT_EQ(error.code(), ErrorCode::kNotFound) << config;
    EXPECT_THAT(error.message(), HasSubstr("my-model"));
    EXPECT_THAT(error.message(), HasSubstr("give a template of your own"));
  }
}

TEST(ChatTemplate, RefusesWhatItCannotRender) {
  const auto chat = ChatTemplate::Parse(kChatMl, "", "", "t");
  const struct {
    const char* messages;
    ErrorCode code;
    const char* message;
  } cases[] = {
      {"{}", ErrorCode::kInvalid, "messages: expected an array"},
      {"[1]", ErrorCode::kInvalid, "messages[0]: expected an object"},
      {R"([{"content": "x"}])", ErrorCode::kInvalid, "\"role\""},
      {R"([{"role": 1, "content": "x"}])", ErrorCode::kInvalid, "\"role\""},
      {R"([{"role": "user", "content": [{"type": "image", "url": "u"}]}])", ErrorCode::kUnsupported,
       "messages[0].content"},
      {R"([{"role": "user", "content": [{"type": "text", "text": 3}]}])", ErrorCode::kUnsupported,
       "messages[0].content"},
      {R"([{"role": "user", "content": [7]}])", ErrorCode::kUnsupported, "messages[0].content"},
  };
  for (const auto& test : cases) {
    const Error error = ErrorOf([&] { chat.Render(Request(test.messages)); });
    EXPECT_EQ(error.code(), test.code) << test.messages;
    EXPECT_THAT(error.message(), HasSubstr(test.message));
  }
  ChatRequest request = Request("[]");
  request.extra["bos_token"] = "x";
  EXPECT_THAT(ErrorOf([&] { chat.Render(request); }).message(), HasSubstr("'bos_token' is set"));
}

TEST(ChatTemplate, TheTemplatesOwnErrorReachesTheUser) {
  const auto chat = ChatTemplate::Parse(
      "{% for m in messages %}\n{% if m.role == 'system' %}\n"
      "{{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}{% endfor %}",
      "", "", "gemma");
  const Error error =
      ErrorOf([&] { chat.Render(Request(R"([{"role": "system", "content": "x"}])")); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalid);
  EXPECT_EQ(error.message(), "gemma:3: System role not supported");
}

TEST(ChatTemplate, ExtraVariablesAndClock) {
  const auto chat = ChatTemplate::Parse(
      "{{ thinking }}{% if messages | length > 1 %}{{ strftime_now('%d %b %Y') }}{% endif %}"
      "{{ messages[0].content }}",
      "", "", "t");
  ChatRequest request = Request(R"([{"role": "user", "content": "x"}, {"role": "user"}])");
  request.extra["thinking"] = "on ";
  EXPECT_THAT(ErrorOf([&] { chat.Render(request); }).message(), HasSubstr("needs a clock"));
  request.clock = std::chrono::local_days(std::chrono::year(2026) / 7 / 26);
  EXPECT_EQ(Text(chat, request), "on 26 Jul 2026x");
}

}  // namespace
}  // namespace retort
