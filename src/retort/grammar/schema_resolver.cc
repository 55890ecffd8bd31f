#include "retort/grammar/schema_resolver.h"

#include <algorithm>
#include <optional>

#include "retort/base/error.h"
#include "retort/grammar/schema_wrapper.h"

namespace retort::grammar {
namespace {

enum class Holds { kNothing, kSchema, kSchemas, kSchemaMap, kSchemaOrSchemas };

Holds WhatHolds(std::string_view keyword) {
  static const std::unordered_map<std::string_view, Holds> table = {
      {"additionalProperties", Holds::kSchema},
      {"additionalItems", Holds::kSchema},
      {"contains", Holds::kSchema},
      {"not", Holds::kSchema},
      {"if", Holds::kSchema},
      {"then", Holds::kSchema},
      {"else", Holds::kSchema},
      {"propertyNames", Holds::kSchema},
      {"unevaluatedItems", Holds::kSchema},
      {"unevaluatedProperties", Holds::kSchema},
      {"contentSchema", Holds::kSchema},
      {"items", Holds::kSchemaOrSchemas},
      {"allOf", Holds::kSchemas},
      {"anyOf", Holds::kSchemas},
      {"oneOf", Holds::kSchemas},
      {"prefixItems", Holds::kSchemas},
      {"properties", Holds::kSchemaMap},
      {"patternProperties", Holds::kSchemaMap},
      {"$defs", Holds::kSchemaMap},
      {"definitions", Holds::kSchemaMap},
      {"dependentSchemas", Holds::kSchemaMap},
      {"dependencies", Holds::kSchemaMap},
  };
  const auto it = table.find(keyword);
  return it == table.end() ? Holds::kNothing : it->second;
}

std::optional<Draft> DraftNamed(std::string_view uri) {
  if (uri.find("json-schema.org/") == std::string_view::npos) return {};
  while (uri.ends_with('#') || uri.ends_with('/')) uri.remove_suffix(1);
  if (uri.find("draft-04") != std::string_view::npos) return Draft::k4;
  if (uri.find("draft-06") != std::string_view::npos) return Draft::k6;
  if (uri.find("draft-07") != std::string_view::npos) return Draft::k7;
  if (uri.find("2019-09") != std::string_view::npos) return Draft::k2019;
  if (uri.find("2020-12") != std::string_view::npos) return Draft::k2020;
  return {};
}

struct Uri {
  std::string scheme, authority, path, query, fragment;
  bool has_authority = false, has_query = false, has_fragment = false;
};

Uri ParseUri(std::string_view text) {
  Uri uri;
  if (const size_t at = text.find('#'); at != std::string_view::npos) {
    uri.has_fragment = true;
    uri.fragment = text.substr(at + 1);
    text = text.substr(0, at);
  }
  if (const size_t at = text.find('?'); at != std::string_view::npos) {
    uri.has_query = true;
    uri.query = text.substr(at + 1);
    text = text.substr(0, at);
  }
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos && text.find('/') > colon && colon > 0) {
    uri.scheme = text.substr(0, colon);
    text.remove_prefix(colon + 1);
  }
  if (text.starts_with("//")) {
    const size_t end = std::min(text.find('/', 2), text.size());
    uri.has_authority = true;
    uri.authority = text.substr(2, end - 2);
    text.remove_prefix(end);
  }
  uri.path = text;
  return uri;
}

std::string RemoveDots(std::string_view path) {
  std::vector<std::string_view> out;
  const bool absolute = path.starts_with('/');
  size_t i = 0;
  bool slash_end = false;
  while (i <= path.size()) {
    const size_t end = std::min(path.find('/', i), path.size());
    const std::string_view part = path.substr(i, end - i);
    slash_end = part == "." || part == "..";
    if (part == "..") {
      if (out.size() > (absolute ? 1u : 0u)) out.pop_back();
    } else if (part != ".") {
      out.push_back(part);
    }
    i = end + 1;
  }
  std::string result;
  for (size_t k = 0; k < out.size(); ++k) {
    if (k > 0) result += '/';
    result += out[k];
  }
  if (slash_end && !result.ends_with('/')) result += '/';
  return result;
}

std::string WithoutFragment(const std::string& uri) { return uri.substr(0, uri.find('#')); }

std::string DecodePercent(std::string_view text) {
  std::string out;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 &&
        digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string ResolveUri(std::string_view base_text, std::string_view reference) {
  const Uri base = ParseUri(base_text);
  Uri ref = ParseUri(reference);
  if (ref.scheme.empty()) {
    ref.scheme = base.scheme;
    if (!ref.has_authority) {
      ref.has_authority = base.has_authority;
      ref.authority = base.authority;
      if (ref.path.empty()) {
        ref.path = base.path;
        if (!ref.has_query) {
          ref.has_query = base.has_query;
          ref.query = base.query;
        }
      } else if (!ref.path.starts_with('/')) {
        const size_t slash = base.path.rfind('/');
        std::string path = slash == std::string::npos ? (base.has_authority ? "/" : "")
                                                      : base.path.substr(0, slash + 1);
        ref.path = RemoveDots(path + ref.path);
      } else {
        ref.path = RemoveDots(ref.path);
      }
    }
  }
  std::string out;
  if (!ref.scheme.empty()) out += ref.scheme + ":";
  if (ref.has_authority) out += "//" + ref.authority;
  out += ref.path;
  if (ref.has_query) out += "?" + ref.query;
  if (ref.has_fragment) out += "#" + ref.fragment;
  return out;
}

SchemaResolver::SchemaResolver(std::string_view schema,
                               const std::map<std::string, std::string>& remotes,
                               const Limits& limits, Draft default_draft)
    : limits_(limits), remotes_(remotes) {
  AddDocument(schema, "", default_draft);
  root_ = resources_[0].root;
}

void SchemaResolver::AddDocument(std::string_view text, const std::string& uri, Draft draft) {
  documents_.push_back(ReadSchemaDocument(text, uri.empty() ? "schema" : uri, limits_));
  auto* root = const_cast<SchemaValue*>(&UnwrapSchema(*documents_.back()->root));
  Resource resource;
  resource.uri = uri;
  resource.root = root;
  resource.draft = draft;
  if (root->is_object()) {
    const SchemaValue* named = root->Find("$schema");
    if (named != nullptr && named->is_string()) {
      if (const auto found = DraftNamed(named->text)) {
        resource.draft = *found;
      } else if (const auto meta = remotes_.find(WithoutFragment(named->text));
                 meta != remotes_.end() &&
                 meta->second.find("\"$vocabulary\"") != std::string::npos &&
                 (meta->second.find("vocab/validation\"") == std::string::npos ||
                  meta->second.find("vocab/format-assertion\"") != std::string::npos)) {
        Throw(ErrorCode::kUnsupported,
              "{}: '$schema': '{}' chooses vocabularies that are not the draft's own",
              Where(*root, "$schema"), named->text);
      }
    }
  }
  const auto index = static_cast<uint32_t>(resources_.size());
  by_uri_.emplace(uri, index);
  resources_.push_back(std::move(resource));
  Visit(root, index, true);
}

void SchemaResolver::VisitAll(SchemaValue* value, uint32_t resource) {
  Visit(value, resource, false);
}

void SchemaResolver::Visit(SchemaValue* value, uint32_t resource, bool is_schema) {
  if (is_schema && value->is_object()) {
    const Draft draft = resources_[resource].draft;
    const SchemaValue* ref = value->Find("$ref");
    const bool ref_alone = ref != nullptr && draft <= Draft::k7;
    const SchemaValue* id = value->Find(draft == Draft::k4 ? "id" : "$id");
    if (id != nullptr && id->is_string() && !ref_alone) {
      const std::string uri = ResolveUri(resources_[resource].uri, id->text);
      if (draft <= Draft::k7 && id->text.starts_with('#')) {
        resources_[resource].anchors.emplace(id->text.substr(1), value);
      } else if (value == resources_[resource].root) {
        resources_[resource].uri = WithoutFragment(uri);
        by_uri_.insert_or_assign(WithoutFragment(uri), resource);
      } else {
        Resource inner;
        inner.uri = WithoutFragment(uri);
        inner.root = value;
        inner.draft = draft;
        const SchemaValue* named = value->Find("$schema");
        if (named != nullptr && named->is_string()) {
          if (const auto found = DraftNamed(named->text)) inner.draft = *found;
        }
        resource = static_cast<uint32_t>(resources_.size());
        by_uri_.insert_or_assign(inner.uri, resource);
        resources_.push_back(std::move(inner));
      }
    }
    if (draft >= Draft::k2019) {
      if (const auto* anchor = value->Find("$anchor"); anchor != nullptr && anchor->is_string()) {
        resources_[resource].anchors.emplace(anchor->text, value);
      }
      if (const auto* anchor = value->Find("$dynamicAnchor");
          anchor != nullptr && anchor->is_string() && draft == Draft::k2020) {
        resources_[resource].anchors.emplace(anchor->text, value);
        resources_[resource].dynamic_anchors.emplace(anchor->text, value);
        has_dynamic_anchors_ = true;
      }
      if (const auto* anchor = value->Find("$recursiveAnchor");
          anchor != nullptr && anchor->boolean && draft == Draft::k2019) {
        resources_[resource].dynamic_anchors.emplace("", value);
        has_dynamic_anchors_ = true;
      }
    }
  }
  value->resource = resource;
  for (const auto& [key, child_value] : value->members) {
    auto* child = const_cast<SchemaValue*>(child_value);
    const Holds holds = is_schema ? WhatHolds(key) : Holds::kNothing;
    if (is_schema && key.starts_with("unevaluated")) used_.emplace(key, true);
    if (holds == Holds::kSchema || (holds == Holds::kSchemaOrSchemas && !child->is_array())) {
      Visit(child, resource, true);
      continue;
    }
    child->resource = resource;
    if (holds == Holds::kSchemas || holds == Holds::kSchemaOrSchemas) {
      for (const SchemaValue* item : child->items) {
        Visit(const_cast<SchemaValue*>(item), resource, true);
      }
    } else if (holds == Holds::kSchemaMap) {
      for (const auto& [name, member] : child->members) {
        Visit(const_cast<SchemaValue*>(member), resource, true);
      }
    } else {
      VisitAll(child, resource);
    }
  }
  if (!is_schema || !value->is_object()) {
    for (const SchemaValue* item : value->items) VisitAll(const_cast<SchemaValue*>(item), resource);
  }
}

bool SchemaResolver::KnowsDraft(std::string_view uri) { return DraftNamed(uri).has_value(); }

std::string SchemaResolver::Where(const SchemaValue& schema, std::string_view keyword) const {
  const SchemaValue* top = &schema;
  while (top->parent != nullptr) top = top->parent;
  for (const auto& document : documents_) {
    if (document->root != top) continue;
    const SchemaValue* member = schema.Find(keyword);
    const size_t offset = (member != nullptr ? member : &schema)->offset;
    return document->origin + ":" + LineAndColumn(document->text, offset) + ": " +
           PointerTo(schema);
  }
  return "schema: " + PointerTo(schema);
}

std::string SchemaResolver::AnchorOf(std::string_view reference) {
  const size_t hash = reference.find('#');
  if (hash == std::string_view::npos) return "";
  std::string fragment = DecodePercent(reference.substr(hash + 1));
  return fragment.starts_with('/') ? "" : fragment;
}

const SchemaValue* SchemaResolver::Resolve(const SchemaValue& from, std::string_view reference) {
  const std::string uri = ResolveUri(resources_[from.resource].uri, reference);
  const std::string base = WithoutFragment(uri);
  auto it = by_uri_.find(base);
  if (it == by_uri_.end()) {
    auto remote = remotes_.find(base);
    if (remote == remotes_.end()) remote = remotes_.find(base + "#");
    if (remote == remotes_.end()) {
      Throw(ErrorCode::kUnsupported,
            "{}: '$ref': '{}' names '{}', which is not in this document nor among the schemas "
            "given with it (nothing is fetched: give it too)",
            Where(from, "$ref"), reference, base);
    }
    AddDocument(remote->second, base, DraftOf(from));
    it = by_uri_.find(base);
  }
  const Resource& resource = resources_[it->second];
  const size_t hash = uri.find('#');
  const std::string fragment = hash == std::string::npos ? "" : DecodePercent(uri.substr(hash + 1));
  const SchemaValue* at = resource.root;
  const auto fail = [&]() {
    Throw(ErrorCode::kInvalid, "{}: '$ref': '{}' names nothing", Where(from, "$ref"), reference);
  };
  if (fragment.empty()) return at;
  if (!fragment.starts_with('/')) {
    const auto anchor = resource.anchors.find(fragment);
    if (anchor == resource.anchors.end()) fail();
    return anchor->second;
  }
  size_t i = 1;
  while (i <= fragment.size()) {
    const size_t end = std::min(fragment.find('/', i), fragment.size());
    std::string key;
    for (size_t k = i; k < end; ++k) {
      if (fragment[k] == '~' && k + 1 < end) {
        key += fragment[++k] == '0' ? '~' : '/';
      } else {
        key += fragment[k];
      }
    }
    const SchemaValue* next = at->Find(key);
    if (at->is_array()) {
      const bool number =
          !key.empty() && key.size() < 9 &&
          std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
      const size_t index = number ? std::stoul(key) : at->items.size();
      next = index < at->items.size() ? at->items[index] : nullptr;
    }
    if (next == nullptr) fail();
    at = next;
    i = end + 1;
  }
  return at;
}

}  // namespace retort::grammar
