#pragma once

#include <optional>
#include <string_view>

#include "retort/grammar/code_point_set.h"

namespace retort::grammar {

// The code points with a Unicode property, as written in \p{...}: a general category (long or
// short name), a script ("Greek", "Script=Greek"), "Any", "ASCII", "Alphabetic", "L&" and the like.
// nullopt: unknown. Some milliseconds: every code point is asked.
std::optional<CodePointSet> UnicodeProperty(std::string_view name);

CodePointSet DigitSet(bool unicode);
CodePointSet WordSet(bool unicode);
CodePointSet SpaceSet(bool unicode, bool ecma);
// "alpha", "digit", ... as in [[:alpha:]]; ASCII.
std::optional<CodePointSet> PosixClass(std::string_view name);

// The set with every simple case variant of its members.
CodePointSet FoldCase(const CodePointSet& set);

}  // namespace retort::grammar
