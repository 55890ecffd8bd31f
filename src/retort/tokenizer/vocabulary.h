#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

// Strings packed end to end, by index.
class StringTable {
 public:
  void Reserve(size_t num_strings, size_t num_bytes) {
    ends_.reserve(num_strings);
    bytes_.reserve(num_bytes);
  }
  void Append(std::string_view text) {
    bytes_.append(text);
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  std::string_view operator[](size_t index) const {
    const uint32_t begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(bytes_).substr(begin, ends_[index] - begin);
  }
  size_t size() const { return ends_.size(); }
  uint64_t memory_bytes() const { return bytes_.capacity() + ends_.capacity() * sizeof(uint32_t); }

 private:
  std::string bytes_;
  std::vector<uint32_t> ends_;
};

// How many slots of a hash table may be taken in a row where a key belongs: in the tables here, at
// most three quarters full, a few hundred with any keys but those chosen to collide.
inline constexpr size_t kProbesMax = 1024;

// A finite map from text to token id: open addressing over ids, 4 bytes a slot. The texts live in a
// StringTable that must outlive it.
class TextIndex {
 public:
  // Room for `num_texts`.
  TextIndex(const StringTable& texts, size_t num_texts);

  // Enters texts[id]. Returns the id that already has this text, or nothing. Throws
  // Error{kInvalid} beyond kProbesMax.
  std::optional<int32_t> Insert(int32_t id);

  // -1 if there is none.
  int32_t Find(std::string_view text) const;

  uint64_t memory_bytes() const { return slots_.capacity() * sizeof(uint32_t); }

 private:
  const StringTable* texts_;
  uint64_t mask_;
  std::vector<uint32_t> slots_;  // 0: empty; else (id + 1) | hash tag in the high bits
};

// The 256 bytes as the printable characters that byte-level vocabularies write for them (GPT-2).
// Returns false, leaving `out` unspecified, if `text` has a character outside this alphabet.
bool BytesFromByteLevel(std::string_view text, std::string* out);

// "<0x0A>" -> 10; nothing for any other text.
std::optional<uint8_t> ByteOfFallbackToken(std::string_view text);

}  // namespace retort
