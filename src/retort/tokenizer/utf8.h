#pragma once

#include "retort/base/utf8.h"

namespace retort {

// Unicode White_Space, and letters, marks, digits and connectors (a word character of regexes).
bool IsSpaceCodePoint(char32_t code_point);
bool IsWordCodePoint(char32_t code_point);

}  // namespace retort
