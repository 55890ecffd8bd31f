#pragma once

// Private to backend/cpu: integers that stand for values of one scale.
namespace retort::cpu {

// Below this magnitude values count as zero: the largest code / magnitude would overflow.
inline constexpr float kSmallestMagnitude = 1e-36f;

// The largest code in 16 bits: 128 products of 4095² are the most that 32 bits hold.
inline constexpr int kInt16CodeMax = 4095;

}  // namespace retort::cpu
