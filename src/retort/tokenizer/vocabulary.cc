#include "retort/tokenizer/vocabulary.h"

#include <array>
#include <bit>
#include <cstring>

#include "retort/base/error.h"
#include "retort/tokenizer/utf8.h"

namespace retort {
namespace {

constexpr int kIdBits = 23;  // holds kVocabSizeMax + 1
constexpr uint32_t kIdMask = (1u << kIdBits) - 1;

uint64_t Mix(uint64_t x) {
  x *= 0x9E3779B97F4A7C15u;
  x ^= x >> 32;
  return x;
}

// Any good hash does: the table is bounded and its texts are compared. Eight bytes a step, because
// encoding asks for millions of short texts.
uint64_t HashText(std::string_view text) {
  uint64_t hash = text.size() * 0xD6E8FEB86659FD93u;
  while (text.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, text.data(), 8);
    hash = Mix(hash ^ word);
    text.remove_prefix(8);
  }
  uint64_t word = 0;
  if (!text.empty()) std::memcpy(&word, text.data(), text.size());
  hash = Mix(hash ^ word);
  return Mix(hash ^ hash >> 29);
}

}  // namespace

TextIndex::TextIndex(const StringTable& texts, size_t num_texts) : texts_(&texts) {
  const uint64_t num_slots = std::bit_ceil(num_texts + num_texts / 2 + 8);
  mask_ = num_slots - 1;
  slots_.assign(num_slots, 0);
}

std::optional<int32_t> TextIndex::Insert(int32_t id) {
  const std::string_view text = (*texts_)[id];
  const uint64_t hash = HashText(text);
  const uint32_t tag = static_cast<uint32_t>(hash >> 40) & ~kIdMask;
  uint64_t at = hash & mask_;
  for (size_t num_probes = 0; num_probes < kProbesMax; ++num_probes, at = (at + 1) & mask_) {
    if (slots_[at] == 0) {
      slots_[at] = tag | (static_cast<uint32_t>(id) + 1);
      return std::nullopt;
    }
    const int32_t other = static_cast<int32_t>(slots_[at] & kIdMask) - 1;
    if ((*texts_)[other] == text) return other;
  }
  Throw(ErrorCode::kInvalid,
        "token {}: more than {} tokens fall on one place of the index, as if made to", id,
        kProbesMax);
}

int32_t TextIndex::Find(std::string_view text) const {
  const uint64_t hash = HashText(text);
  const uint32_t tag = static_cast<uint32_t>(hash >> 40) & ~kIdMask;
  for (uint64_t at = hash & mask_;; at = (at + 1) & mask_) {
    const uint32_t slot = slots_[at];
    if (slot == 0) return -1;
    if ((slot & ~kIdMask) != tag) continue;
    const int32_t id = static_cast<int32_t>(slot & kIdMask) - 1;
    if ((*texts_)[id] == text) return id;
  }
}

namespace {

// Bytes that print as themselves in Latin-1; the others are written, in order, from U+0100 on.
constexpr bool PrintsAsItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<int16_t, 0x144> MakeByteOfCharacter() {
  std::array<int16_t, 0x144> table{};
  for (auto& entry : table) entry = -1;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    table[PrintsAsItself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  }
  return table;
}

constexpr auto kByteOfCharacter = MakeByteOfCharacter();

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

bool BytesFromByteLevel(std::string_view text, std::string* out) {
  out->clear();
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    if (step.kind != Utf8Step::Kind::kCharacter || step.code_point >= kByteOfCharacter.size() ||
        kByteOfCharacter[step.code_point] < 0) {
      return false;
    }
    out->push_back(static_cast<char>(kByteOfCharacter[step.code_point]));
    text.remove_prefix(step.num_bytes);
  }
  return true;
}

std::optional<uint8_t> ByteOfFallbackToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  const int high = HexDigit(text[3]);
  const int low = HexDigit(text[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<uint8_t>(high * 16 + low);
}

}  // namespace retort
