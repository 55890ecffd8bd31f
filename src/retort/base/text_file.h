#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace retort {

// Offset of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7), or npos.
size_t FindBadUtf8(std::string_view text);

// The text that a person's editor shows: a byte order mark in front and the line end that closes
// the last line are the editor's, and dropped. Throws Error{kInvalid} that names `origin` and the
// offset of the first byte that is not UTF-8.
std::string TextOf(std::string bytes, std::string_view origin);

// TextOf a file. Throws as ReadFile does, too.
std::string ReadTextFile(const std::filesystem::path& path, uint64_t bytes_max);

}  // namespace retort
