#pragma once

#include <span>
#include <string_view>

#include "retort/chat/ast.h"

namespace retort::jinja {

struct FilterEntry {
  std::string_view name;
  FilterFunction function;
};

// The parts of the one list of filters (filters.cc joins them).
std::span<const FilterEntry> TextFilters();      // text_filters.cc
std::span<const FilterEntry> SequenceFilters();  // sequence_filters.cc
std::span<const FilterEntry> LazyFilters();      // lazy_filters.cc
std::span<const FilterEntry> NumberFilters();    // number_filters.cc

// What `attribute=` of several filters means: "a.b.0" looks up a, then b, then item 0. A missing
// value becomes `otherwise`, if given.
Value LookUpPath(Runtime& runtime, const Value& item, const Value& path, const Value* otherwise);

// Sort keys: text without case unless it is to count.
Value FoldCase(Runtime& runtime, const Value& value, bool is_case_sensitive);

}  // namespace retort::jinja
