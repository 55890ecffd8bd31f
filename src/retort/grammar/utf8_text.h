#pragma once

#include <string>
#include <string_view>

namespace retort::grammar {

// Decodes UTF-8; a byte that is not part of it becomes U+FFFD.
std::u32string DecodeUtf8(std::string_view text);
std::string EncodeUtf8(std::u32string_view text);

}  // namespace retort::grammar
