#include "retort/chat/chat_template.h"

#include <algorithm>
#include <array>

#include "retort/base/error.h"

namespace retort {
namespace {

// Long enough not to occur in a template by itself.
constexpr std::string_view kProbeText = "retort-content-probe-7f3a";

// One short message takes the templates of today some hundred steps. Loading a model is not to wait
// for one that takes its whole budget.
constexpr uint64_t kProbeStepsMax = 1'000'000;

constexpr std::array<std::string_view, 5> kReservedNames = {
    "messages", "tools", "add_generation_prompt", "bos_token", "eos_token"};

// A special token in tokenizer_config.json: a string, or {"content": ...} of an added token.
std::string TokenText(const Json& config, const char* name) {
  const auto token = config.find(name);
  if (token == config.end() || token->is_null()) return "";
  if (token->is_string()) return token->get<std::string>();
  if (token->is_object() && token->contains("content") && (*token)["content"].is_string()) {
    return (*token)["content"].get<std::string>();
  }
  return "";
}

std::string JoinTextParts(const Json& parts, size_t message) {
  std::string text;
  for (const Json& part : parts) {
    if (part.is_string()) {
      text += part.get_ref<const std::string&>();
      continue;
    }
    const auto body = part.is_object() ? part.find("text") : part.end();
    if (!part.is_object() || body == part.end() || !body->is_string()) {
      Throw(ErrorCode::kUnsupported,
            "messages[{}].content: this model's chat template takes text only, found the part {}",
            message, DumpJson(part).substr(0, 200));
    }
    text += body->get_ref<const std::string&>();
  }
  return text;
}

void CheckMessages(const Json& messages) {
  if (!messages.is_array()) {
    Throw(ErrorCode::kInvalid, "messages: expected an array, found {}", messages.type_name());
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    if (!message.is_object()) {
      Throw(ErrorCode::kInvalid, "messages[{}]: expected an object, found {}", i,
            message.type_name());
    }
    const auto role = message.find("role");
    if (role == message.end() || !role->is_string()) {
      Throw(ErrorCode::kInvalid, "messages[{}]: expected a string under \"role\"", i);
    }
  }
}

Json Context(const Json& messages, const ChatRequest& request, const std::string& bos_token,
             const std::string& eos_token) {
  Json context = Json::object();
  context["messages"] = messages;
  if (!request.tools.is_null()) context["tools"] = request.tools;
  context["add_generation_prompt"] = request.add_generation_prompt;
  context["bos_token"] = bos_token;
  context["eos_token"] = eos_token;
  if (!request.extra.is_object()) {
    Throw(ErrorCode::kInvalid, "template variables: expected an object, found {}",
          request.extra.type_name());
  }
  for (const auto& [name, value] : request.extra.items()) {
    if (std::find(kReservedNames.begin(), kReservedNames.end(), name) != kReservedNames.end()) {
      Throw(ErrorCode::kInvalid, "template variables: '{}' is set by the request itself", name);
    }
    context[name] = value;
  }
  return context;
}

std::string_view NamedTemplate(const Json& list, std::string_view wanted, std::string_view origin) {
  for (const Json& entry : list) {
    if (!entry.is_object() || !entry.contains("name") || !entry.contains("template") ||
        !entry["name"].is_string() || !entry["template"].is_string()) {
      Throw(ErrorCode::kInvalid,
            "{}: chat_template: expected a list of {{\"name\", \"template\"}}, found {}", origin,
            DumpJson(entry).substr(0, 200));
    }
    if (entry["name"].get_ref<const std::string&>() == wanted) {
      return entry["template"].get_ref<const std::string&>();
    }
  }
  return {};
}

}  // namespace

Json NormalizeContent(const Json& messages, ContentShape shape) {
  Json out = messages;
  if (shape == ContentShape::kEither) return out;
  for (size_t i = 0; i < out.size(); ++i) {
    const auto content = out[i].find("content");
    if (content == out[i].end()) continue;
    if (shape == ContentShape::kString && content->is_array()) {
      *content = JoinTextParts(*content, i);
    } else if (shape == ContentShape::kParts && content->is_string()) {
      Json part = Json::object();
      part["type"] = "text";
      part["text"] = *content;
      *content = Json::array({std::move(part)});
    }
  }
  return out;
}

ChatTemplate::ChatTemplate(Template base, std::optional<Template> with_tools,
                           std::string_view bos_token, std::string_view eos_token)
    : base_(std::move(base)),
      with_tools_(std::move(with_tools)),
      bos_token_(bos_token),
      eos_token_(eos_token) {
  // One user turn as a string and as a list of parts: which of them comes out as the bare text?
  const auto renders = [&](ContentShape shape) {
    ChatRequest probe;
    Json message = Json::object();
    message["role"] = "user";
    message["content"] = std::string(kProbeText);
    probe.messages.push_back(std::move(message));
    probe.clock = std::chrono::local_seconds{};
    const Json messages = NormalizeContent(probe.messages, shape);
    try {
      const std::string text = PlainText(RenderMessages(base_, messages, probe, kProbeStepsMax));
      // A list printed as Python writes it ("[{'type': ...") shows that the template did not look
      // in.
      return text.find(kProbeText) != std::string::npos &&
             text.find("'text': '" + std::string(kProbeText)) == std::string::npos &&
             text.find("\"text\": \"" + std::string(kProbeText)) == std::string::npos;
    } catch (const Error&) {
      return false;
    }
  };
  const bool takes_string = renders(ContentShape::kString);
  const bool takes_parts = renders(ContentShape::kParts);
  if (takes_parts) content_shape_ = takes_string ? ContentShape::kEither : ContentShape::kParts;
}

ChatTemplate ChatTemplate::Parse(std::string_view source, std::string_view bos_token,
                                 std::string_view eos_token, std::string_view origin) {
  return ChatTemplate(Template::Parse(source, origin), std::nullopt, bos_token, eos_token);
}

ChatTemplate ChatTemplate::FromCheckpoint(const Json& tokenizer_config,
                                          const std::optional<std::string>& jinja_source,
                                          std::string_view origin) {
  const std::string bos_token = TokenText(tokenizer_config, "bos_token");
  const std::string eos_token = TokenText(tokenizer_config, "eos_token");
  if (jinja_source) {
    return Parse(*jinja_source, bos_token, eos_token,
                 fmt::format("{} (chat_template.jinja)", origin));
  }
  const auto entry = tokenizer_config.is_object() ? tokenizer_config.find("chat_template")
                                                  : tokenizer_config.end();
  const bool is_missing =
      !tokenizer_config.is_object() || entry == tokenizer_config.end() || entry->is_null();
  std::string_view source;
  std::string_view tool_source;
  if (!is_missing && entry->is_string()) {
    source = entry->get_ref<const std::string&>();
  } else if (!is_missing && entry->is_array()) {
    source = NamedTemplate(*entry, "default", origin);
    tool_source = NamedTemplate(*entry, "tool_use", origin);
    if (source.empty() && entry->size() == 1)
      source = (*entry)[0]["template"].get_ref<const std::string&>();
  } else if (!is_missing) {
    Throw(ErrorCode::kInvalid, "{}: chat_template: expected a string or a list, found {}", origin,
          entry->type_name());
  }
  if (source.empty()) {
    Throw(ErrorCode::kNotFound,
          "{}: the model has no chat template (neither chat_template.jinja nor a \"chat_template\" "
          "in "
          "tokenizer_config.json): use an instruction-tuned model, give a template of your own "
          "(chat_template: FILE), or send a plain prompt",
          origin);
  }
  std::optional<Template> with_tools;
  if (!tool_source.empty()) {
    with_tools = Template::Parse(tool_source, fmt::format("{} (chat_template tool_use)", origin));
  }
  return ChatTemplate(Template::Parse(source, fmt::format("{} (chat_template)", origin)),
                      std::move(with_tools), bos_token, eos_token);
}

std::vector<Span> ChatTemplate::RenderMessages(const Template& which, const Json& messages,
                                               const ChatRequest& request,
                                               uint64_t steps_max) const {
  RenderOptions options;
  options.steps_max = steps_max;
  options.stop = request.stop;
  options.clock = request.clock;
  options.template_names = {"bos_token", "eos_token"};
  return which.Render(Context(messages, request, bos_token_, eos_token_), options);
}

std::vector<Span> ChatTemplate::Render(const ChatRequest& request) const {
  CheckMessages(request.messages);
  if (!request.tools.is_null() && !request.tools.is_array()) {
    Throw(ErrorCode::kInvalid, "tools: expected an array, found {}", request.tools.type_name());
  }
  const bool has_tools = request.tools.is_array() && !request.tools.empty();
  const Template& which = has_tools && with_tools_ ? *with_tools_ : base_;
  return RenderMessages(which, NormalizeContent(request.messages, content_shape_), request);
}

bool ChatTemplate::uses_tools() const {
  const auto& names = (with_tools_ ? *with_tools_ : base_).free_names();
  return std::find(names.begin(), names.end(), "tools") != names.end();
}

}  // namespace retort
