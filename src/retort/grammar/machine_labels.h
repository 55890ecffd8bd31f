#pragma once

#include <cstdint>

#include "retort/grammar/grammar_ir.h"

namespace retort::grammar {

// Labels of a JSON value's tokens. Keys of class 0, strings and scalars have none, so that they
// share lexer states with every other string.
inline constexpr uint32_t kLabelPlain = 0;
inline constexpr uint32_t kLabelClose = 1;
inline constexpr uint32_t kLabelComma = 2;
inline constexpr uint32_t kLabelObject = 3;
inline constexpr uint32_t kLabelArray = 4;
inline constexpr uint32_t kLabelClasses = 7;  // + c: keys of class c >= 1
inline constexpr uint32_t kLabelNames = 32;   // and beyond: see Machine::LabelOf
static_assert(kLabelClasses + kKeyClassesMax < kLabelNames);

}  // namespace retort::grammar
