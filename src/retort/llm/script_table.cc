#include "retort/llm/script_table.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <new>

#include "retort/base/random.h"

namespace retort {

struct ScriptTable::Pattern {
  explicit Pattern(pcre2_code* c) : code(c) {}
  ~Pattern() { pcre2_code_free(code); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  pcre2_code* code;
};

namespace {

std::string PcreMessage(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

[[noreturn]] void Bad(std::string_view origin, const std::string& what) {
  Throw(ErrorCode::kInvalid, "{}: {}", origin, what);
}

std::string TextAt(const Json& value, std::string_view origin, std::string_view key) {
  if (!value.is_string()) Bad(origin, fmt::format("'{}' must be text", key));
  return value.get<std::string>();
}

ErrorCode ParseErrorCode(const std::string& name, std::string_view origin) {
  std::vector<std::string> names;
  for (int i = 0; i < kNumErrorCodes; ++i) {
    names.emplace_back(ErrorCodeName(static_cast<ErrorCode>(i)));
    if (names.back() == name) return static_cast<ErrorCode>(i);
  }
  Bad(origin, fmt::format("'error' is '{}', not the name of an error code; nearest: '{}'", name,
                          NearestName(name, names)));
}

void CheckKeys(const Json& object, std::string_view origin,
               const std::vector<std::string>& allowed) {
  if (!object.is_object()) Bad(origin, "must be an object");
  for (const auto& [key, value] : object.items()) {
    if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
      Bad(origin, fmt::format("unknown key '{}'; nearest: '{}'", key, NearestName(key, allowed)));
    }
  }
}

ScriptRule ParseRule(const Json& value, const std::string& origin) {
  CheckKeys(value, origin, {"match", "reply", "scores", "error", "message", "times"});
  ScriptRule rule;
  if (value.contains("match")) rule.match = TextAt(value["match"], origin, "match");
  if (value.contains("reply")) {
    const Json& reply = value["reply"];
    if (reply.is_array()) {
      for (const Json& one : reply) rule.replies.push_back(TextAt(one, origin, "reply"));
    } else {
      rule.replies.push_back(TextAt(reply, origin, "reply"));
    }
  }
  if (value.contains("scores")) {
    if (!value["scores"].is_object()) Bad(origin, "'scores' must be an object");
    for (const auto& [continuation, score] : value["scores"].items()) {
      if (!score.is_number()) Bad(origin, "'scores' must hold numbers");
      rule.scores[continuation] = score.get<double>();
    }
  }
  if (value.contains("error")) {
    const ErrorCode code = ParseErrorCode(TextAt(value["error"], origin, "error"), origin);
    std::string message = "the script says so";
    if (value.contains("message")) message = TextAt(value["message"], origin, "message");
    rule.error = Error(code, std::move(message));
  }
  if (value.contains("times")) {
    if (!value["times"].is_number_unsigned()) Bad(origin, "'times' must be a whole number");
    rule.num_failures = value["times"].get<int>();
  }
  if (!rule.error && (value.contains("message") || value.contains("times"))) {
    Bad(origin, "'message' and 'times' belong to 'error', which is missing");
  }
  if (rule.replies.empty() && rule.scores.empty() && !rule.error) {
    Bad(origin, "needs one of 'reply', 'scores', 'error'");
  }
  return rule;
}

void AppendMessage(std::string& text, const Json& message) {
  if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
    Throw(ErrorCode::kInvalid, "a chat message must be an object with a text 'role', found {}",
          DumpJson(message).substr(0, 200));
  }
  text += "<|" + message["role"].get_ref<const std::string&>() + "|>\n";
  if (message.contains("content")) {
    const Json& content = message["content"];
    if (content.is_string()) {
      text += content.get_ref<const std::string&>();
    } else if (content.is_array()) {
      for (const Json& part : content) {
        if (part.is_object() && part.contains("text") && part["text"].is_string()) {
          text += part["text"].get_ref<const std::string&>();
        }
      }
    } else if (!content.is_null()) {
      Throw(ErrorCode::kInvalid, "a chat message's 'content' must be text or a list, found {}",
            DumpJson(content).substr(0, 200));
    }
  }
  text += '\n';
}

}  // namespace

std::string ScriptedPromptText(const Prompt& prompt) {
  std::string text;
  if (const auto* spans = std::get_if<std::vector<Span>>(&prompt)) return PlainText(*spans);
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
    for (const int32_t id : *ids) {
      if (!text.empty()) text += ' ';
      text += std::to_string(id);
    }
    return text;
  }
  const ChatPrompt& chat = std::get<ChatPrompt>(prompt);
  if (!chat.messages.is_array()) {
    Throw(ErrorCode::kInvalid, "chat messages must be a list, found {}", chat.messages.type_name());
  }
  for (const Json& message : chat.messages) AppendMessage(text, message);
  if (!chat.tools.is_null()) text += "<|tools|>\n" + DumpJson(chat.tools) + "\n";
  if (!chat.template_arguments.empty()) text += DumpJson(chat.template_arguments) + "\n";
  if (chat.add_generation_prompt) text += "<|assistant|>\n";
  return text;
}

Script ParseScript(const Json& value, std::string_view origin) {
  CheckKeys(value, origin, {"name", "default", "rules"});
  Script script;
  if (value.contains("name")) script.name = TextAt(value["name"], origin, "name");
  if (value.contains("default")) script.default_reply = TextAt(value["default"], origin, "default");
  if (value.contains("rules")) {
    if (!value["rules"].is_array()) Bad(origin, "'rules' must be a list");
    for (const Json& rule : value["rules"]) {
      script.rules.push_back(
          ParseRule(rule, fmt::format("{}: rule {}", origin, script.rules.size() + 1)));
    }
  }
  return script;
}

ScriptTable::ScriptTable(Script script) : script_(std::move(script)) {
  for (size_t i = 0; i < script_.rules.size(); ++i) {
    const std::string& text = script_.rules[i].match;
    if (text.empty()) {
      patterns_.push_back(nullptr);
      continue;
    }
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                     PCRE2_UTF, &error, &at, nullptr);
    if (code == nullptr) {
      Throw(ErrorCode::kInvalid, "script '{}': rule {}: pattern '{}' at byte {}: {}", script_.name,
            i + 1, text, at, PcreMessage(error));
    }
    patterns_.push_back(std::make_unique<Pattern>(code));
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it, matching is only slower
  }
}

ScriptTable::~ScriptTable() = default;

ScriptTable::Match ScriptTable::Find(std::string_view text) const {
  for (size_t i = 0; i < script_.rules.size(); ++i) {
    if (patterns_[i] == nullptr) return Match{&script_.rules[i], {text}};
    pcre2_code* code = patterns_[i]->code;
    std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
        pcre2_match_data_create_from_pattern(code, nullptr), &pcre2_match_data_free);
    if (data == nullptr) throw std::bad_alloc();
    const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                  0, data.get(), nullptr);
    if (count == PCRE2_ERROR_NOMATCH) continue;
    if (count < 0) {
      Throw(ErrorCode::kInvalid, "script '{}': rule {} cannot be matched: {}", script_.name, i + 1,
            PcreMessage(count));
    }
    Match match{&script_.rules[i], {}};
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
    for (int g = 0; g < count; ++g) {
      const bool set = ends[2 * g] != PCRE2_UNSET && ends[2 * g] <= ends[2 * g + 1];
      match.groups.push_back(set ? text.substr(ends[2 * g], ends[2 * g + 1] - ends[2 * g])
                                 : std::string_view());
    }
    return match;
  }
  return {};
}

std::string ScriptTable::Reply(const Match& match, std::string_view tag, uint64_t seed,
                               uint64_t prompt_digest) const {
  if (match.rule == nullptr || match.rule->replies.empty()) return script_.default_reply;
  const std::vector<std::string>& replies = match.rule->replies;
  const std::string_view from =
      replies.size() == 1 ? replies[0] : replies[RandomBits(seed, prompt_digest) % replies.size()];
  std::string reply;
  for (size_t i = 0; i < from.size(); ++i) {
    const std::string_view rest = from.substr(i);
    if (from[i] != '$') {
      reply += from[i];
    } else if (rest.size() > 1 && rest[1] == '$') {
      reply += '$';
      i += 1;
    } else if (rest.size() > 1 && rest[1] >= '0' && rest[1] <= '9') {
      const size_t group = static_cast<size_t>(rest[1] - '0');
      if (group < match.groups.size()) reply += match.groups[group];
      i += 1;
    } else if (rest.starts_with("${seed}")) {
      reply += std::to_string(seed);
      i += 6;
    } else if (rest.starts_with("${tag}")) {
      reply += tag;
      i += 5;
    } else if (rest.starts_with("${digest}")) {
      reply += fmt::format("{:08x}", static_cast<uint32_t>(prompt_digest));
      i += 8;
    } else {
      reply += '$';
    }
  }
  return reply;
}

}  // namespace retort
