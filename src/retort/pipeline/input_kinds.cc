#include "retort/pipeline/input_kinds.h"

#include <algorithm>

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr size_t kShownBytesMax = 60;  // of a value in a message

bool IsTextOrNull(const Json& value) { return value.is_string() || value.is_null(); }

bool IsMessage(const Json& value) {
  return value.is_object() && value.contains("role") && value.at("role").is_string() &&
         value.contains("content");
}

bool HasType(const Json& value, InputKind type) {
  switch (type) {
    case InputKind::kAny:
      return true;
    case InputKind::kText:
      return value.is_string();
    case InputKind::kTextList:
      return value.is_array() && std::all_of(value.begin(), value.end(), IsTextOrNull);
    case InputKind::kTextOrConversation:
      return value.is_string() || (value.is_array() && !value.empty() &&
                                   std::all_of(value.begin(), value.end(), IsMessage));
  }
  return false;
}

std::string Describe(const Json& value) {
  std::string text = DumpJson(value);
  if (text.size() > kShownBytesMax) {
    size_t end = kShownBytesMax;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end) + "...";
  }
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "the truth value " + text;
    case Json::value_t::string:
      return "the text " + text;
    case Json::value_t::array:
      return value.empty() ? "an empty list" : "the list " + text;
    case Json::value_t::object:
      return "the object " + text;
    default:
      return "the number " + text;
  }
}

}  // namespace

std::string_view InputKindText(InputKind type) {
  switch (type) {
    case InputKind::kAny:
      return "any value";
    case InputKind::kText:
      return "a text";
    case InputKind::kTextList:
      return "a list of texts";
    case InputKind::kTextOrConversation:
      return "a text or a conversation (a list of messages with 'role' and 'content')";
  }
  return "any value";
}

InputKind InputKindOf(const StepType& type, std::string_view own_name) {
  for (const auto& [name, kind] : type.input_kinds) {
    if (name == own_name) return kind;
  }
  return InputKind::kAny;
}

void CheckInputKinds(const StepType& type, const std::vector<ColumnBinding>& bindings,
                     const Row& inputs) {
  for (const ColumnBinding& binding : bindings) {
    const InputKind expected = InputKindOf(type, binding.own);
    const auto found = inputs.find(binding.own);
    if (found == inputs.end() || found->is_null() || HasType(*found, expected)) continue;
    Throw(ErrorCode::kInvalid, "the column '{}'{} must hold {}, found {}", binding.column,
          binding.own == binding.column ? "" : fmt::format(" (the step's '{}')", binding.own),
          InputKindText(expected), Describe(*found));
  }
}

}  // namespace retort
