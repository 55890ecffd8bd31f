#pragma once

#include <cstdint>

namespace retort {

// Mixes 64 bits so that each input bit flips each output bit with probability one half
// (SplitMix64's finaliser: Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number
// Generators").
constexpr uint64_t MixBits(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// The random number at `position` of the stream `seed`: a pure function, so a draw does not depend
// on which draws came before it, in which batch, or on which thread.
constexpr uint64_t RandomBits(uint64_t seed, uint64_t position) {
  return MixBits(MixBits(seed + 0x9e3779b97f4a7c15ULL) + 0x9e3779b97f4a7c15ULL * (position + 1));
}

// Uniform in [0, 1), with 53 random bits.
constexpr double RandomUniform(uint64_t seed, uint64_t position) {
  return static_cast<double>(RandomBits(seed, position) >> 11) * 0x1.0p-53;
}

}  // namespace retort
