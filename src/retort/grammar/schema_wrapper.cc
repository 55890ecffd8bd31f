#include "retort/grammar/schema_wrapper.h"

#include <algorithm>
#include <array>

namespace retort::grammar {
namespace {

using Type = SchemaValue::Type;

struct Beside {
  std::string_view name;
  Type type = Type::kString;
  std::array<std::string_view, 2> values = {};  // of a string; "": any
};

struct Wrapper {
  std::string_view holds;  // the member that holds the schema, or the next wrapper
  std::vector<Beside> beside;
  size_t num_beside_min = 0;  // fewer: `holds` may be a property's name that lost its "properties"
};

const std::vector<Wrapper>& Wrappers() {
  static const Beside name{"name"};
  static const Beside description{"description"};
  static const Beside strict{"strict", Type::kBool};
  static const std::vector<Wrapper> table = {
      // OpenAI's response_format, its inside, and both in one as in its newer API and in servers
      // that are compatible with it.
      {"response_format", {}},
      {"json_schema", {{"type", Type::kString, {"json_schema"}}}},
      {"schema",
       {name,
        description,
        strict,
        {"type", Type::kString, {"json_schema", "json_object"}},
        // `structured_output` itself.
        {"format", Type::kString, {"json"}}},
       1},
      // Tools: of OpenAI, Anthropic and MCP.
      {"function", {{"type", Type::kString, {"function"}}}, 1},
      {"parameters", {name, description, strict, {"type", Type::kString, {"function"}}}, 1},
      {"input_schema", {name, description}, 1},
      {"inputSchema", {name, description, {"title"}, {"annotations", Type::kObject}}, 1},
      // vLLM's.
      {"guided_json", {}},
      {"structured_outputs", {}},
  };
  return table;
}

bool Fits(const Wrapper& wrapper, const SchemaValue& value) {
  if (value.members.size() < 1 + wrapper.num_beside_min) return false;
  return std::all_of(value.members.begin(), value.members.end(), [&](const auto& member) {
    const auto& [name, held] = member;
    if (name == wrapper.holds) return held->is_object();
    return std::any_of(wrapper.beside.begin(), wrapper.beside.end(), [&](const Beside& beside) {
      if (name != beside.name) return false;
      // Written out by programs that leave nothing out.
      if (held->type == Type::kNull) return true;
      return held->type == beside.type &&
             (beside.values[0].empty() || std::find(beside.values.begin(), beside.values.end(),
                                                    held->text) != beside.values.end());
    });
  });
}

}  // namespace

const SchemaValue& UnwrapSchema(const SchemaValue& root) {
  const SchemaValue* at = &root;
  for (bool found = true; found;) {
    found = false;
    for (const Wrapper& wrapper : Wrappers()) {
      const SchemaValue* held = at->Find(wrapper.holds);
      if (held == nullptr || !Fits(wrapper, *at)) continue;
      // {"structured_outputs": {"json": ...}}: elsewhere a member "json" says nothing.
      if (wrapper.holds == "structured_outputs") {
        held = held->members.size() == 1 ? held->Find("json") : nullptr;
        if (held == nullptr) continue;
      }
      at = held;
      found = true;
      break;
    }
  }
  return *at;
}

}  // namespace retort::grammar
