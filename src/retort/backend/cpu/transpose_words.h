#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Private to backend/cpu: packing's inner step, in vectors that every level has.
namespace retort::cpu {

using Bytes16 __attribute__((vector_size(16))) = uint8_t;
using Shorts8 __attribute__((vector_size(16))) = uint16_t;
using Words4 __attribute__((vector_size(16))) = uint32_t;
using Longs2 __attribute__((vector_size(16))) = uint64_t;

inline Bytes16 LoadBytes16(const void* from) {
  Bytes16 bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

template <typename Vector>
void StoreVector(std::byte* to, Vector vector) {
  std::memcpy(to, &vector, sizeof vector);
}

// Four outputs' 16 bytes: to what each has of the first word, of the second, ...
inline std::array<Words4, 4> TransposeWords(const std::array<Bytes16, 4>& outputs) {
  const auto words = [&](size_t i) { return reinterpret_cast<Words4>(outputs[i]); };
  const auto first_two = [](Words4 a, Words4 b) {
    return reinterpret_cast<Longs2>(__builtin_shufflevector(a, b, 0, 4, 1, 5));
  };
  const auto last_two = [](Words4 a, Words4 b) {
    return reinterpret_cast<Longs2>(__builtin_shufflevector(a, b, 2, 6, 3, 7));
  };
  const auto firsts = [](Longs2 a, Longs2 b) {
    return reinterpret_cast<Words4>(__builtin_shufflevector(a, b, 0, 2));
  };
  const auto seconds = [](Longs2 a, Longs2 b) {
    return reinterpret_cast<Words4>(__builtin_shufflevector(a, b, 1, 3));
  };
  const Longs2 low01 = first_two(words(0), words(1));
  const Longs2 low23 = first_two(words(2), words(3));
  const Longs2 high01 = last_two(words(0), words(1));
  const Longs2 high23 = last_two(words(2), words(3));
  return {firsts(low01, low23), seconds(low01, low23), firsts(high01, high23),
          seconds(high01, high23)};
}

}  // namespace retort::cpu
