#pragma once

#include <string>
#include <string_view>

namespace retort {

// A text from anywhere (a file, a model, the command line) as a terminal may show it: control
// characters, those that turn the direction of writing among them, and bytes that are no UTF-8 are
// written out (\x1b, \u202e). Line ends and tabs stay.
std::string Printable(std::string_view text);

// The same for a name or a value on one line: line ends and tabs are written out too.
std::string PrintableLine(std::string_view text);

}  // namespace retort
