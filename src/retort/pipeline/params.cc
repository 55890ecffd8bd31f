#include "retort/pipeline/params.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "retort/pipeline/config.h"
#include "retort/pipeline/node_reader.h"
#include "retort/pipeline/step_help.h"

namespace retort {
namespace {

std::string TypeText(const ParamSpec& spec) {
  std::string text;
  switch (spec.type) {
    case ParamType::kBool:
      return "true or false";
    case ParamType::kInt:
      text = "an integer";
      break;
    case ParamType::kFloat:
      text = "a number";
      break;
    case ParamType::kString:
      text = "text";
      break;
    case ParamType::kStringList:
      text = "a list of texts";
      break;
    case ParamType::kObject:
      return "a map";
    case ParamType::kAny:
      return "a value";
  }
  if (spec.type == ParamType::kInt || spec.type == ParamType::kFloat) {
    const bool below = spec.min > -1e300;
    const bool above = spec.max < 1e300;
    if (below && above) text += fmt::format(" from {} to {}", spec.min, spec.max);
    if (below && !above) text += fmt::format(" of at least {}", spec.min);
    if (!below && above) text += fmt::format(" of at most {}", spec.max);
  }
  if (!spec.choices.empty()) {
    text += fmt::format(", one of {}", fmt::join(spec.choices, ", "));
  }
  return text;
}

bool IsChoice(const ParamSpec& spec, const Json& value) {
  if (!value.is_string()) return false;
  return spec.choices.empty() || std::find(spec.choices.begin(), spec.choices.end(),
                                           value.get<std::string>()) != spec.choices.end();
}

bool InRange(const ParamSpec& spec, const Json& value) {
  const double number = value.get<double>();
  return std::isfinite(number) && number >= spec.min && number <= spec.max;
}

// The value as the spec wants it, or nothing.
std::optional<Json> Coerce(const ParamSpec& spec, Json value, const YamlNode* node) {
  // A text parameter takes a number or truth value as it was written.
  const auto as_text = [](Json& item, const YamlNode* from) {
    if (from != nullptr && from->kind == YamlNode::Kind::kScalar && !from->IsNull()) {
      item = from->text;
    }
  };
  switch (spec.type) {
    case ParamType::kBool:
      return value.is_boolean() ? std::optional(value) : std::nullopt;
    case ParamType::kInt: {
      const bool fits = value.is_number_integer() &&
                        !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX);
      return fits && InRange(spec, value) ? std::optional(value) : std::nullopt;
    }
    case ParamType::kFloat:
      if (!value.is_number() || !InRange(spec, value)) return std::nullopt;
      return Json(value.get<double>());
    case ParamType::kString:
      as_text(value, node);
      return IsChoice(spec, value) ? std::optional(value) : std::nullopt;
    case ParamType::kStringList: {
      as_text(value, node);
      if (value.is_string()) value = Json::array({value});
      if (!value.is_array()) return std::nullopt;
      for (size_t i = 0; i < value.size(); ++i) {
        as_text(value[i], node != nullptr && i < node->items.size() ? &node->items[i] : nullptr);
        if (!IsChoice(spec, value[i])) return std::nullopt;
      }
      return value;
    }
    case ParamType::kObject:
      return value.is_object() ? std::optional(value) : std::nullopt;
    case ParamType::kAny:
      return value;
  }
  return std::nullopt;
}

// A text that a list names twice, or null: each is a name, and twice is a slip.
const Json* NamedTwice(const ParamSpec& spec, const Json& value) {
  if (spec.type != ParamType::kStringList) return nullptr;
  std::set<std::string_view> seen;
  for (const Json& item : value) {
    if (!seen.insert(item.get_ref<const std::string&>()).second) return &item;
  }
  return nullptr;
}

const ParamSpec* FindSpec(const StepType& type, std::string_view name) {
  for (const ParamSpec& spec : type.params) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

std::vector<std::string> KnownKeys(const StepType& type) {
  std::vector<std::string> names;
  for (const ParamSpec& spec : type.params) names.emplace_back(spec.name);
  for (const StepKey& key : StepKeys()) names.emplace_back(key.name);
  return names;
}

Json Defaults(const StepType& type) {
  Json values = Json::object();
  for (const ParamSpec& spec : type.params) values[std::string(spec.name)] = spec.default_value;
  return values;
}

std::string ShortJson(const Json& value) {
  const std::string text = DumpJson(value);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

void CheckRequired(const StepType& type, const Json& values, const std::string& step_name,
                   const Mark& mark, Problems& problems) {
  for (const ParamSpec& spec : type.params) {
    if (spec.required && values.at(std::string(spec.name)).is_null()) {
      problems.Add(mark, "step '{}' ({}) needs the parameter '{}', {}", step_name, type.name,
                   spec.name, TypeText(spec));
    }
  }
}

}  // namespace

Params CheckParams(const StepType& type, const std::vector<std::pair<YamlNode, YamlNode>>& given,
                   const std::string& step_name, const Mark& mark, Problems& problems) {
  const size_t errors_before = problems.num_errors();
  Json values = Defaults(type);
  for (const auto& [key, node] : given) {
    const ParamSpec* spec = FindSpec(type, key.text);
    if (spec == nullptr) {
      // A sampling setting stands one level deeper.
      const auto settings = GenerationKeys();
      const bool nested = std::find(settings.begin(), settings.end(), key.text) != settings.end();
      problems.Add(key.mark, "step '{}' ({}) has no parameter '{}'{}", step_name, type.name,
                   key.text,
                   nested ? fmt::format(" (did you mean 'generation.{}'?)", key.text)
                          : DidYouMean(key.text, KnownKeys(type)));
      continue;
    }
    if (node.IsNull()) continue;  // as if it were not given
    const YamlNode* lossy = spec->type == ParamType::kAny || spec->type == ParamType::kObject
                                ? FindLossyNumber(node)
                                : nullptr;
    if (lossy != nullptr) {
      problems.Add(
          lossy->mark,
          "step '{}': in '{}', {} is neither an integer of 64 bits nor a finite double; in "
          "quotes it is kept as text",
          step_name, key.text, DescribeNode(*lossy));
      values[key.text] = YamlToJson(node);
    } else if (auto value = Coerce(*spec, YamlToJson(node), &node)) {
      if (const Json* twice = NamedTwice(*spec, *value)) {
        problems.Add(node.mark, "step '{}': '{}' names {} twice", step_name, key.text,
                     DumpJson(*twice));
      }
      values[key.text] = std::move(*value);
    } else {
      problems.Add(node.mark, "step '{}': '{}' must be {}, found {}", step_name, key.text,
                   TypeText(*spec), DescribeNode(node));
      // A required parameter that is there but wrong is not reported as missing, too.
      if (spec->required) values[key.text] = YamlToJson(node);
    }
  }
  CheckRequired(type, values, step_name, mark, problems);
  Params params(std::move(values));
  if (problems.num_errors() != errors_before) return params;
  try {
    type.check(params);
  } catch (const std::exception&) {
    const Error error = CurrentError();
    problems.Add({error.code(), MarkOfParam(given, error.message(), mark),
                  fmt::format("step '{}': {}", step_name, error.message()), false});
  }
  return params;
}

Mark MarkOfParam(const std::vector<std::pair<YamlNode, YamlNode>>& given, std::string_view message,
                 const Mark& otherwise) {
  for (const auto& [key, node] : given) {
    if (message.find("'" + key.text + "'") != std::string_view::npos) return key.mark;
  }
  return otherwise;
}

Params MakeParams(const StepType& type, const Json& given) {
  Json values = Defaults(type);
  for (const auto& [name, value] : given.items()) {
    const ParamSpec* spec = FindSpec(type, name);
    if (spec == nullptr) {
      Throw(ErrorCode::kInvalid, "{} has no parameter '{}'{}", type.name, name,
            DidYouMean(name, KnownKeys(type)));
    }
    if (value.is_null()) continue;
    auto coerced = Coerce(*spec, value, nullptr);
    if (!coerced) {
      Throw(ErrorCode::kInvalid, "{}: '{}' must be {}, found {}", type.name, name, TypeText(*spec),
            ShortJson(value));
    }
    if (const Json* twice = NamedTwice(*spec, *coerced)) {
      Throw(ErrorCode::kInvalid, "{}: '{}' names {} twice", type.name, name, DumpJson(*twice));
    }
    values[name] = std::move(*coerced);
  }
  Problems problems;
  CheckRequired(type, values, std::string(type.name), {}, problems);
  problems.ThrowIfAny();
  Params params(std::move(values));
  type.check(params);
  return params;
}

}  // namespace retort
