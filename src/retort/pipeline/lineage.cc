#include "retort/pipeline/lineage.h"

#include <fmt/format.h>

namespace retort {
namespace {

unsigned char HexValue(char c) {
  return static_cast<unsigned char>(c <= '9' ? c - '0' : c - 'a' + 10);
}

}  // namespace

std::string LineageKey::Hex() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

uint64_t LineageKey::Bits() const {
  uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | bytes[static_cast<size_t>(i)];
  return bits;
}

LineageKey FinishKey(Sha256& digest) {
  const std::string hex = digest.Hex();
  LineageKey key;
  for (size_t i = 0; i < key.bytes.size(); ++i) {
    key.bytes[i] = static_cast<unsigned char>(HexValue(hex[2 * i]) << 4 | HexValue(hex[2 * i + 1]));
  }
  return key;
}

std::string PathText(uint64_t family, const RowPath& path) {
  std::string text = fmt::format("{}", family);
  for (const uint32_t index : path) text += fmt::format(".{}", index);
  return text;
}

}  // namespace retort
