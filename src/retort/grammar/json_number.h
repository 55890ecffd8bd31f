#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "retort/grammar/regex_pool.h"

namespace retort::grammar {

// A decimal number of any precision: ±digits × 10^exponent. Digits have no leading or trailing
// zero; zero has none at all.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;

  // nullopt: not a JSON number, or its exponent is beyond kExponentMax.
  static std::optional<Decimal> Parse(std::string_view json_number);
  static constexpr int64_t kExponentMax = 9999;

  bool is_zero() const { return digits.empty(); }
  bool is_integer() const { return exponent >= 0 || digits.empty(); }
  bool operator==(const Decimal&) const = default;
  // -1, 0, 1.
  int Compare(const Decimal& other) const;
  // Exact remainder test; nullopt if `divisor` has too many digits to tell.
  std::optional<bool> IsMultipleOf(const Decimal& divisor) const;
};

// Languages of JSON numbers by value. A number with a condition on its value is spelt plainly (any
// number of digits, trailing zeros welcome: 1000, 1.50, -0) or in normalised scientific form: one
// digit that is not 0, at most kFractionDigitsMax after the point, an exponent of at most four
// digits (1e3, 1.5E-07). The spellings that this leaves out (10e2, 0.1e4) have no regular language
// by value. Numbers without any condition are spelt in every way that JSON has.
inline constexpr uint32_t kFractionDigitsMax = 17;

Regex AnyNumber(RegexPool* pool);        // every JSON number
Regex SpellableNumber(RegexPool* pool);  // the spellings above: the others are subsets of it
Regex IntegerNumber(RegexPool* pool);    // whole, however it is written: 1, 1.0, 1e3
Regex IntegerLiteral(RegexPool* pool);   // without fraction and exponent: draft 4's
// One spelling of each value, the same in both: no exponent, no needless zero, no sign of zero.
Regex CanonicalInteger(RegexPool* pool);
Regex CanonicalNumber(const Decimal& value, RegexPool* pool);
Regex NumberAtLeast(const Decimal& bound, bool exclusive, RegexPool* pool);
// Numbers in plain form, and in scientific form where it is certain, that are multiples; with
// `negated`, those that are not. nullopt: the divisor has too many digits.
std::optional<Regex> NumberMultipleOf(const Decimal& divisor, bool negated, RegexPool* pool);
Regex NumberEqualTo(const Decimal& value, RegexPool* pool);
// A scalar's other spellings: of a number all, of true, false and null only itself.
Regex SpellingsOf(std::string_view scalar, RegexPool* pool);

}  // namespace retort::grammar
