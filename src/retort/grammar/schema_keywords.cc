#include "retort/grammar/schema_keywords.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "retort/base/json.h"

namespace retort::grammar {
namespace {

struct Keyword {
  Draft first = Draft::k4;
  Draft last = Draft::k2020;
};

const std::unordered_map<std::string_view, Keyword>& Keywords() {
  static const std::unordered_map<std::string_view, Keyword> table = {
      {"$schema", {}},
      {"id", {Draft::k4, Draft::k4}},
      {"$id", {Draft::k6}},
      {"$anchor", {Draft::k2019}},
      {"$dynamicAnchor", {Draft::k2020}},
      {"$dynamicRef", {Draft::k2020}},
      {"$recursiveAnchor", {Draft::k2019, Draft::k2019}},
      {"$recursiveRef", {Draft::k2019, Draft::k2019}},
      {"$vocabulary", {Draft::k2019}},
      {"$ref", {}},
      {"$comment", {}},
      {"$defs", {}},  // only a place, whatever the draft
      {"definitions", {}},
      {"title", {}},
      {"description", {}},
      {"default", {}},
      {"examples", {}},
      {"example", {}},
      {"deprecated", {}},
      {"readOnly", {}},
      {"writeOnly", {}},
      {"contentEncoding", {Draft::k7}},
      {"contentMediaType", {Draft::k7}},
      {"contentSchema", {Draft::k2019}},
      {"type", {}},
      {"enum", {}},
      {"const", {Draft::k6}},
      {"allOf", {}},
      {"anyOf", {}},
      {"oneOf", {}},
      {"not", {}},
      {"if", {Draft::k7}},
      {"then", {Draft::k7}},
      {"else", {Draft::k7}},
      {"properties", {}},
      {"patternProperties", {}},
      {"additionalProperties", {}},
      {"propertyNames", {Draft::k6}},
      {"required", {}},
      {"minProperties", {}},
      {"maxProperties", {}},
      {"dependencies", {Draft::k4, Draft::k7}},
      {"dependentRequired", {Draft::k2019}},
      {"dependentSchemas", {Draft::k2019}},
      {"unevaluatedProperties", {Draft::k2019}},
      {"items", {}},
      {"additionalItems", {Draft::k4, Draft::k2019}},
      {"prefixItems", {Draft::k2020}},
      {"unevaluatedItems", {Draft::k2019}},
      {"contains", {Draft::k6}},
      {"minContains", {Draft::k2019}},
      {"maxContains", {Draft::k2019}},
      {"minItems", {}},
      {"maxItems", {}},
      {"uniqueItems", {}},
      {"minLength", {}},
      {"maxLength", {}},
      {"pattern", {}},
      {"format", {}},
      {"minimum", {}},
      {"maximum", {}},
      {"exclusiveMinimum", {}},
      {"exclusiveMaximum", {}},
      {"multipleOf", {}},
  };
  return table;
}

}  // namespace

std::string_view DraftName(Draft draft) {
  static constexpr std::string_view kNames[] = {"draft 4", "draft 6", "draft 7", "draft 2019-09",
                                                "draft 2020-12"};
  return kNames[static_cast<int>(draft)];
}

bool IsAssertion(std::string_view name) {
  static const std::unordered_map<std::string_view, bool> others = [] {
    std::unordered_map<std::string_view, bool> all;
    for (const char* name :
         {"id", "definitions", "title", "description", "default", "examples", "example",
          "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType"}) {
      all[name] = true;
    }
    return all;
  }();
  return !name.starts_with('$') && Keywords().contains(name) && !others.contains(name);
}

bool IsExtension(std::string_view name) {
  // OpenAPI's and editors'.
  static const std::unordered_set<std::string_view> known = {
      "discriminator",    "xml",
      "externalDocs",     "markdownDescription",
      "enumDescriptions", "markdownEnumDescriptions",
      "enumNames",        "defaultSnippets",
      "errorMessage",     "deprecationMessage",
      "propertyOrdering"};
  return name.starts_with("x-") || known.contains(name);
}

std::string UnknownKeyword(std::string_view name, Draft draft) {
  const auto it = Keywords().find(name);
  if (it == Keywords().end()) {
    std::string text = "'" + std::string(name) + "' is no keyword: it constrains nothing";
    if (name == "nullable") return text + " (add \"null\" to 'type' instead)";
    static const std::vector<std::string_view> names = [] {
      std::vector<std::string_view> all;
      for (const auto& [known, keyword] : Keywords()) all.push_back(known);
      std::sort(all.begin(), all.end());
      return all;
    }();
    const std::string nearest = NearestName(name, names);
    if (!nearest.empty()) text += " (did you mean '" + nearest + "'?)";
    return text;
  }
  const auto [first, last] = it->second;
  if (draft < first) {
    return "'" + std::string(name) + "' has no meaning before " + std::string(DraftName(first)) +
           ": it constrains nothing";
  }
  if (draft > last) {
    return "'" + std::string(name) + "' has no meaning after " + std::string(DraftName(last)) +
           ": it constrains nothing";
  }
  return "";
}

}  // namespace retort::grammar
