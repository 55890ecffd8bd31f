#include "retort/grammar/json_number.h"

#include <algorithm>
#include <vector>

namespace retort::grammar {
namespace {

Regex Range(RegexPool* pool, char first, char last) {
  return first > last
             ? kNothing
             : pool->Set(CodePointSet{{static_cast<uint32_t>(first), static_cast<uint32_t>(last)}});
}
Regex Digit(RegexPool* pool) { return Range(pool, '0', '9'); }
Regex Digits(RegexPool* pool, uint32_t min, uint32_t max = kUnbounded) {
  return pool->Repeat(Digit(pool), min, max);
}
Regex Zeros(RegexPool* pool) { return pool->Star(pool->Bytes("0")); }
Regex Fraction(RegexPool* pool) {
  return pool->Optional(pool->Cat(pool->Bytes("."), Digits(pool, 1)));
}
Regex Sign(RegexPool* pool) { return pool->Optional(pool->Bytes("-")); }
Regex PlainUnsigned(RegexPool* pool) {
  const Regex integer =
      pool->Or(pool->Bytes("0"), pool->Cat(Range(pool, '1', '9'), Digits(pool, 0)));
  return pool->Cat(integer, Fraction(pool));
}
Regex Significand(RegexPool* pool) {
  return pool->Cat(
      Range(pool, '1', '9'),
      pool->Optional(pool->Cat(pool->Bytes("."), Digits(pool, 1, kFractionDigitsMax))));
}
Regex ExponentMark(RegexPool* pool) { return pool->Set(CodePointSet{{'E', 'E'}, {'e', 'e'}}); }
Regex Scientific(RegexPool* pool) {
  return pool->Cat({Significand(pool), ExponentMark(pool),
                    pool->Optional(pool->Set(CodePointSet{{'+', '+'}, {'-', '-'}})),
                    Digits(pool, 1, 4)});
}

// Digits whose value, read as integer part and fraction, is at least integer.fraction (greater if
// exclusive). The integer part has no needless leading zero.
Regex PlainAtLeast(const std::string& integer, const std::string& fraction, bool exclusive,
                   RegexPool* pool) {
  const auto n = static_cast<uint32_t>(integer.size());
  const Regex any_fraction = Fraction(pool);
  std::vector<Regex> ways{
      pool->Cat({Range(pool, '1', '9'), Digits(pool, n), any_fraction})};  // more digits
  for (uint32_t i = 0; i < n; ++i) {
    ways.push_back(pool->Cat({pool->Bytes(integer.substr(0, i)),
                              Range(pool, static_cast<char>(integer[i] + 1), '9'),
                              Digits(pool, n - 1 - i, n - 1 - i), any_fraction}));
  }
  std::vector<Regex> tails;
  for (size_t i = 0; i < fraction.size(); ++i) {
    tails.push_back(
        pool->Cat({pool->Bytes("." + fraction.substr(0, i)),
                   Range(pool, static_cast<char>(fraction[i] + 1), '9'), Digits(pool, 0)}));
  }
  if (exclusive) {
    tails.push_back(pool->Cat(
        {pool->Bytes("." + fraction), Zeros(pool), Range(pool, '1', '9'), Digits(pool, 0)}));
  } else if (fraction.empty()) {
    tails.push_back(any_fraction);
  } else {
    tails.push_back(pool->Cat(pool->Bytes("." + fraction), Digits(pool, 0)));
  }
  ways.push_back(pool->Cat(pool->Bytes(integer), pool->Or(tails)));
  return pool->Or(ways);
}

// Four digits at most, leading zeros welcome, value at least `bound` >= 0. Written out, without
// intersections: all integers have it.
Regex ExponentDigitsAtLeast(int64_t bound, RegexPool* pool) {
  constexpr uint32_t kDigitsMax = 4;
  if (bound <= 0) return Digits(pool, 1, kDigitsMax);
  const std::string least = std::to_string(bound);
  const auto size = static_cast<uint32_t>(least.size());
  if (size > kDigitsMax) return kNothing;
  const auto padded = [&](uint32_t digits, Regex value) {
    return pool->Cat(pool->Repeat(pool->Bytes("0"), 0, kDigitsMax - digits), value);
  };
  std::vector<Regex> alike{pool->Bytes(least)};
  for (uint32_t i = 0; i < size; ++i) {  // the first digit that is greater
    alike.push_back(pool->Cat({pool->Bytes(least.substr(0, i)),
                               Range(pool, static_cast<char>(least[i] + 1), '9'),
                               Digits(pool, size - 1 - i, size - 1 - i)}));
  }
  std::vector<Regex> ways{padded(size, pool->Or(alike))};
  for (uint32_t digits = size + 1; digits <= kDigitsMax; ++digits) {
    ways.push_back(
        padded(digits, pool->Cat(Range(pool, '1', '9'), Digits(pool, digits - 1, digits - 1))));
  }
  return pool->Or(ways);
}

Regex ExponentAtLeast(int64_t bound, RegexPool* pool) {
  const Regex plus = pool->Optional(pool->Bytes("+"));
  if (bound > 0) return pool->Cat(plus, ExponentDigitsAtLeast(bound, pool));
  const Regex small =
      pool->And(Digits(pool, 1, 4), pool->Not(ExponentDigitsAtLeast(-bound + 1, pool)));
  return pool->Or(pool->Cat(plus, Digits(pool, 1, 4)), pool->Cat(pool->Bytes("-"), small));
}

Regex ExponentEqualTo(int64_t value, RegexPool* pool) {
  return pool->And(ExponentAtLeast(value, pool), pool->Not(ExponentAtLeast(value + 1, pool)));
}

struct PlainParts {
  std::string integer;
  std::string fraction;
};

PlainParts Split(const Decimal& value) {
  if (value.is_zero()) return {"0", ""};
  const auto size = static_cast<int64_t>(value.digits.size());
  if (value.exponent >= 0) {
    return {value.digits + std::string(static_cast<size_t>(value.exponent), '0'), ""};
  }
  const int64_t point = size + value.exponent;
  if (point <= 0) return {"0", std::string(static_cast<size_t>(-point), '0') + value.digits};
  return {value.digits.substr(0, point), value.digits.substr(point)};
}

// The exponent of the scientific form.
int64_t Magnitude(const Decimal& value) {
  return value.exponent + static_cast<int64_t>(value.digits.size()) - 1;
}

// Numbers without sign, at least |bound|.
Regex UnsignedAtLeast(const Decimal& bound, bool exclusive, RegexPool* pool) {
  const PlainParts parts = Split(bound);
  const Regex plain = PlainAtLeast(parts.integer, parts.fraction, exclusive, pool);
  if (bound.is_zero()) return pool->Or(plain, Scientific(pool));
  const int64_t magnitude = Magnitude(bound);
  const Regex equal_magnitude =
      pool->And(Significand(pool),
                PlainAtLeast(bound.digits.substr(0, 1), bound.digits.substr(1), exclusive, pool));
  return pool->Or(
      {plain,
       pool->Cat({Significand(pool), ExponentMark(pool), ExponentAtLeast(magnitude + 1, pool)}),
       pool->Cat({equal_magnitude, ExponentMark(pool), ExponentEqualTo(magnitude, pool)})});
}

Regex Unsigned(RegexPool* pool) { return pool->Or(PlainUnsigned(pool), Scientific(pool)); }

// Beyond, whether a multiple still fits takes too many steps to find out.
constexpr uint64_t kDivisorMax = 20'000;

// divisor as an integer over a power of ten.
std::optional<std::pair<uint64_t, uint32_t>> AsRatio(const Decimal& divisor) {
  if (divisor.is_zero() || divisor.digits.size() > 17 || divisor.exponent > 17 ||
      divisor.exponent < -4000) {
    return {};
  }
  UInt128 value = 0;
  for (const char c : divisor.digits) value = value * 10 + static_cast<unsigned>(c - '0');
  for (int64_t i = 0; i < divisor.exponent; ++i) value *= 10;
  if (value > kDivisorMax) return {};
  return std::pair{static_cast<uint64_t>(value),
                   static_cast<uint32_t>(std::max<int64_t>(0, -divisor.exponent))};
}

}  // namespace

std::optional<Decimal> Decimal::Parse(std::string_view text) {
  Decimal result;
  size_t i = 0;
  if (i < text.size() && text[i] == '-') {
    result.negative = true;
    ++i;
  }
  size_t num_digits = 0;
  const auto digit = [&] { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  for (; digit(); ++i, ++num_digits) result.digits += text[i];
  if (i < text.size() && text[i] == '.') {
    for (++i; digit(); ++i, ++num_digits) {
      result.digits += text[i];
      --result.exponent;
    }
  }
  if (num_digits == 0) return {};
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    const bool minus = i < text.size() && text[i] == '-';
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    int64_t exponent = 0;
    for (; digit(); ++i) exponent = std::min<int64_t>(exponent * 10 + (text[i] - '0'), 1'000'000);
    result.exponent += minus ? -exponent : exponent;
  }
  if (i != text.size()) return {};
  const size_t first = result.digits.find_first_not_of('0');
  if (first == std::string::npos) return Decimal{};
  result.digits.erase(0, first);
  while (result.digits.back() == '0') {
    result.digits.pop_back();
    ++result.exponent;
  }
  const int64_t magnitude = Magnitude(result);
  if (magnitude > kExponentMax || magnitude < -kExponentMax) return {};
  return result;
}

int Decimal::Compare(const Decimal& other) const {
  const int sign = is_zero() ? 0 : negative ? -1 : 1;
  const int other_sign = other.is_zero() ? 0 : other.negative ? -1 : 1;
  if (sign != other_sign) return sign < other_sign ? -1 : 1;
  if (sign == 0) return 0;
  const int64_t a = Magnitude(*this);
  const int64_t b = Magnitude(other);
  int order = a != b ? (a < b ? -1 : 1) : digits.compare(other.digits);
  order = order < 0 ? -1 : order > 0 ? 1 : 0;
  return sign * order;
}

std::optional<bool> Decimal::IsMultipleOf(const Decimal& divisor) const {
  const auto ratio = AsRatio(divisor);
  if (!ratio) return {};
  if (is_zero()) return true;
  const int64_t shift = exponent + ratio->second;  // value · 10^scale = digits · 10^shift
  if (shift < 0) return false;                     // the last digit is not 0
  uint64_t remainder = 0;
  const auto feed = [&](unsigned d) {
    remainder = static_cast<uint64_t>((static_cast<UInt128>(remainder) * 10 + d) % ratio->first);
  };
  for (const char c : digits) feed(static_cast<unsigned>(c - '0'));
  for (int64_t i = 0; i < shift && remainder != 0; ++i) feed(0);
  return remainder == 0;
}

Regex AnyNumber(RegexPool* pool) {
  const Regex exponent =
      pool->Cat({ExponentMark(pool),
                 pool->Optional(pool->Set(CodePointSet{{'+', '+'}, {'-', '-'}})), Digits(pool, 1)});
  return pool->Cat({Sign(pool), PlainUnsigned(pool), pool->Optional(exponent)});
}

Regex SpellableNumber(RegexPool* pool) { return pool->Cat(Sign(pool), Unsigned(pool)); }

namespace {

Regex UnsignedInteger(RegexPool* pool) {
  return pool->Or(pool->Bytes("0"), pool->Cat(Range(pool, '1', '9'), Digits(pool, 0)));
}

}  // namespace

Regex IntegerLiteral(RegexPool* pool) { return pool->Cat(Sign(pool), UnsignedInteger(pool)); }

Regex CanonicalInteger(RegexPool* pool) {
  return pool->Or(pool->Bytes("0"),
                  pool->Cat({Sign(pool), Range(pool, '1', '9'), Digits(pool, 0)}));
}

Regex CanonicalNumber(const Decimal& value, RegexPool* pool) {
  const PlainParts parts = Split(value);
  return pool->Bytes((value.negative ? "-" : "") + parts.integer +
                     (parts.fraction.empty() ? "" : "." + parts.fraction));
}

Regex IntegerNumber(RegexPool* pool) {
  const Regex point = pool->Bytes(".");
  const Regex zeros = pool->Repeat(pool->Bytes("0"), 1, kUnbounded);
  const Regex integer = UnsignedInteger(pool);
  std::vector<Regex> ways{pool->Cat(integer, pool->Optional(pool->Cat(point, zeros)))};
  // d.ddd…e±N is whole if N is at least the number of digits up to the last that is not 0.
  std::vector<Regex> tails;
  for (uint32_t k = 0; k <= kFractionDigitsMax; ++k) {
    tails.push_back(pool->Cat(ExponentMark(pool), ExponentAtLeast(k, pool)));
  }
  const Regex fraction = pool->Cat(point, pool->Fraction(tails));
  ways.push_back(pool->Cat(Range(pool, '1', '9'), pool->Or(tails[0], fraction)));
  return pool->Cat(Sign(pool), pool->Or(ways));
}

Regex NumberAtLeast(const Decimal& bound, bool exclusive, RegexPool* pool) {
  const Regex minus = pool->Bytes("-");
  const Regex zero = pool->Cat(
      pool->Bytes("0"),
      pool->Optional(pool->Cat(pool->Bytes("."), pool->Repeat(pool->Bytes("0"), 1, kUnbounded))));
  if (bound.is_zero() || !bound.negative) {
    const Regex at_least = UnsignedAtLeast(bound, exclusive, pool);
    // Minus zero is zero.
    return bound.is_zero() && !exclusive ? pool->Or(at_least, pool->Cat(minus, zero)) : at_least;
  }
  // -u >= -b  <=>  u <= b  <=>  not u > b.
  const Regex beyond = UnsignedAtLeast(bound, !exclusive, pool);
  return pool->Or(Unsigned(pool), pool->Cat(minus, pool->And(Unsigned(pool), pool->Not(beyond))));
}

std::optional<Regex> NumberMultipleOf(const Decimal& divisor, bool negated, RegexPool* pool) {
  const auto ratio = AsRatio(divisor);
  if (!ratio) return {};
  const Regex multiples = pool->Multiples(ratio->first, ratio->second);
  if (negated) {
    // In scientific form nothing is claimed.
    return pool->Cat(Sign(pool), pool->And(PlainUnsigned(pool), pool->Not(multiples)));
  }
  std::vector<Regex> ways{pool->And(PlainUnsigned(pool), multiples)};
  // If the divisor divides 10^t, then so it does digits · 10^(N - k) for N - k >= t - scale.
  uint64_t rest = ratio->first;
  int64_t twos = 0;
  int64_t fives = 0;
  for (; rest % 2 == 0; rest /= 2) ++twos;
  for (; rest % 5 == 0; rest /= 5) ++fives;
  if (rest == 1) {
    const int64_t least = std::max(twos, fives) - ratio->second;
    std::vector<Regex> tails{pool->Cat(ExponentMark(pool), ExponentAtLeast(least, pool))};
    for (uint32_t k = 1; k <= kFractionDigitsMax; ++k) {
      tails.push_back(pool->Cat({pool->Bytes("."), Digits(pool, k, k), ExponentMark(pool),
                                 ExponentAtLeast(least + k, pool)}));
    }
    ways.push_back(pool->Cat(Range(pool, '1', '9'), pool->Or(tails)));
  }
  return pool->Cat(Sign(pool), pool->Or(ways));
}

Regex NumberEqualTo(const Decimal& value, RegexPool* pool) {
  const PlainParts parts = Split(value);
  const Regex zeros = Zeros(pool);
  const Regex plain = parts.fraction.empty()
                          ? pool->Cat(pool->Bytes(parts.integer),
                                      pool->Optional(pool->Cat({pool->Bytes(".0"), zeros})))
                          : pool->Cat({pool->Bytes(parts.integer + "." + parts.fraction), zeros});
  if (value.is_zero()) return pool->Cat(Sign(pool), plain);
  Regex magnitude = plain;
  const auto k = static_cast<uint32_t>(value.digits.size() - 1);
  if (k <= kFractionDigitsMax) {
    const Regex zero = pool->Bytes("0");
    const Regex fraction =
        k == 0
            ? pool->Optional(pool->Cat(pool->Bytes("."), pool->Repeat(zero, 1, kFractionDigitsMax)))
            : pool->Cat(pool->Bytes("." + value.digits.substr(1)),
                        pool->Repeat(zero, 0, kFractionDigitsMax - k));
    magnitude =
        pool->Or(plain, pool->Cat({pool->Bytes(value.digits.substr(0, 1)), fraction,
                                   ExponentMark(pool), ExponentEqualTo(Magnitude(value), pool)}));
  }
  return value.negative ? pool->Cat(pool->Bytes("-"), magnitude) : magnitude;
}

Regex SpellingsOf(std::string_view scalar, RegexPool* pool) {
  const auto number = Decimal::Parse(scalar);
  return number ? NumberEqualTo(*number, pool) : pool->Bytes(scalar);
}

}  // namespace retort::grammar
