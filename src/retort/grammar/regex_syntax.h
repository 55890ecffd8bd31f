#pragma once

#include <string_view>

#include "retort/grammar/regex_pool.h"

namespace retort::grammar {

enum class RegexDialect {
  kEcma,     // JSON Schema's: \d, \w are ASCII, "." is no line terminator
  kUnicode,  // \d, \w, \s are Unicode, "." is anything but \n; nested classes, flags (?i), (?s),
             // (?x); {,n}; a '{' that begins no count is the character
  kUnicodeToken,  // the same, of a text that others may follow: look-ahead would see them
};

// Why a pattern was refused: Error::message() begins with "at character N: ".
// Throws Error{kInvalid} on bad syntax, Error{kUnsupported} on what is not regular or not done here
// (look-behind, back-references, word boundaries, look-ahead that is not the end of the pattern),
// Error{kExhausted} at a limit.
//
// `search`: the strings in which the pattern is found somewhere (JSON Schema's "pattern"); else
// those that it matches as a whole. Anchors mean the ends of the whole string in both cases.
Regex ParseRegex(std::string_view pattern, RegexDialect dialect, bool search, const Limits& limits,
                 RegexPool* pool);

}  // namespace retort::grammar
