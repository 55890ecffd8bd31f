#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "retort/grammar/schema_document.h"

namespace retort::grammar {

enum class Draft { k4, k6, k7, k2019, k2020 };

// Finds what "$ref" and its kin name: by JSON pointer, "$id", "$anchor", "$dynamicAnchor", in the
// schema itself and in the registry that the caller gave. Never asks the network.
class SchemaResolver {
 public:
  SchemaResolver(std::string_view schema, const std::map<std::string, std::string>& remotes,
                 const Limits& limits, Draft default_draft);

  const SchemaValue* root() const { return root_; }
  Draft DraftOf(const SchemaValue& schema) const { return resources_[schema.resource].draft; }
  // Throws Error{kInvalid} if nothing has this name, Error{kUnsupported} if it is remote and not in
  // the registry.
  const SchemaValue* Resolve(const SchemaValue& from, std::string_view reference);
  // The fragment's plain name ("" for none or a pointer).
  static std::string AnchorOf(std::string_view reference);
  // Dynamic anchors of the schema's resource, by name ("" is "$recursiveAnchor": true).
  const std::map<std::string, const SchemaValue*>& DynamicAnchors(const SchemaValue& schema) const {
    return resources_[schema.resource].dynamic_anchors;
  }
  static bool KnowsDraft(std::string_view uri);
  // "schema:3:14: /properties/x", of the keyword if the schema has it: how errors begin.
  std::string Where(const SchemaValue& schema, std::string_view keyword = {}) const;
  bool has_dynamic_anchors() const { return has_dynamic_anchors_; }
  bool uses_keyword(std::string_view name) const { return used_.contains(std::string(name)); }

 private:
  struct Resource {
    std::string uri;  // without fragment
    const SchemaValue* root = nullptr;
    Draft draft = Draft::k2020;
    std::map<std::string, const SchemaValue*> anchors;
    std::map<std::string, const SchemaValue*> dynamic_anchors;
  };
  void AddDocument(std::string_view text, const std::string& uri, Draft draft);
  void Visit(SchemaValue* value, uint32_t resource, bool is_schema);
  void VisitAll(SchemaValue* value, uint32_t resource);

  const Limits& limits_;
  const std::map<std::string, std::string>& remotes_;
  std::vector<std::unique_ptr<SchemaDocument>> documents_;
  std::vector<Resource> resources_;
  std::unordered_map<std::string, uint32_t> by_uri_;
  std::unordered_map<std::string, bool> used_;
  const SchemaValue* root_ = nullptr;
  bool has_dynamic_anchors_ = false;
};

// RFC 3986, section 5.2: `reference` seen from `base`.
std::string ResolveUri(std::string_view base, std::string_view reference);

}  // namespace retort::grammar
