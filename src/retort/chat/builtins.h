#pragma once

#include <string>
#include <string_view>

#include "retort/chat/ast.h"
#include "retort/chat/runtime.h"

// What a template can name: one list per kind, each in the file named here.
namespace retort::jinja {

FilterFunction FindFilter(std::string_view name);        // filters.cc; null if there is none
PredicateFunction FindPredicate(std::string_view name);  // predicates.cc: Jinja calls them tests
std::string UnknownFilterMessage(std::string_view name);
std::string UnknownPredicateMessage(std::string_view name);

// A global function, or false. globals.cc.
bool FindGlobal(Runtime& runtime, std::string_view name, Value* value);

// A bound method of a str, list, tuple or dict, or false. methods.cc. Methods that would change the
// object give an undefined value whose use says that it is unsafe.
bool FindMethod(Runtime& runtime, const Value& self, std::string_view name, Value* value);

}  // namespace retort::jinja
