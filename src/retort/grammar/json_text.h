#pragma once

#include <string>
#include <string_view>

namespace retort::grammar {

// `text` ends with a JSON string or a JSON scalar that was just read: that token.
std::string_view LastJsonScalar(std::string_view text);

// The code points of a JSON string, quotes included in `token`.
std::u32string DecodeJsonString(std::string_view token);

}  // namespace retort::grammar
