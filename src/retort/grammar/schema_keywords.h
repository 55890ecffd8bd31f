#pragma once

#include <string>
#include <string_view>

#include "retort/grammar/schema_resolver.h"

namespace retort::grammar {

// "" if this draft gives the keyword a meaning (annotations have one); else what to tell the
// author: that it constrains nothing, and what was perhaps meant.
std::string UnknownKeyword(std::string_view name, Draft draft);

// "x-..." and what tools beside the drafts write for people and editors, never to constrain.
bool IsExtension(std::string_view name);

// Whether it may constrain a value: no annotation, no place for other schemas, no name.
bool IsAssertion(std::string_view name);

// "draft 7", "draft 2020-12".
std::string_view DraftName(Draft draft);

}  // namespace retort::grammar
