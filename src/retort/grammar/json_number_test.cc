#include "retort/grammar/json_number.h"

#include <gtest/gtest.h>

namespace retort::grammar {
namespace {

TEST(Decimal, ExponentsUpToTheBound) {
  const std::string max = std::to_string(Decimal::kExponentMax);
  const std::string beyond = std::to_string(Decimal::kExponentMax + 1);
  for (const char* digits : {"1e", "-9e", "1e-", "1.5e", "1.5e-"}) {
    EXPECT_TRUE(Decimal::Parse(digits + max)) << digits;
    EXPECT_FALSE(Decimal::Parse(digits + beyond)) << digits;
  }
  EXPECT_TRUE(Decimal::Parse("0.1e" + beyond));     // of the same size as 1e9999
  EXPECT_FALSE(Decimal::Parse("0.1e-" + max));      // as 1e-10000
  EXPECT_EQ(Decimal::Parse("0e99999"), Decimal{});  // zero has no size
}

TEST(Decimal, MultiplesAreExact) {
  const auto is_multiple = [](std::string_view value, std::string_view divisor) {
    return Decimal::Parse(value)->IsMultipleOf(*Decimal::Parse(divisor));
  };
  EXPECT_EQ(is_multiple("1.5", "1"), false);
  EXPECT_EQ(is_multiple("2.0", "1"), true);
  EXPECT_EQ(is_multiple("1.5", "0.5"), true);
  EXPECT_EQ(is_multiple("1.55", "0.5"), false);
  EXPECT_EQ(is_multiple("2.5", "5"), false);
  EXPECT_EQ(is_multiple("0.3", "0.1"), true);
  EXPECT_EQ(is_multiple("1e400", "7"), false);
  EXPECT_EQ(is_multiple("7e400", "7"), true);
  EXPECT_EQ(is_multiple("0", "7"), true);
  EXPECT_EQ(is_multiple("40000", "20000"), true);  // the greatest divisor that is taken
  EXPECT_EQ(is_multiple("30000", "20000"), false);
  EXPECT_EQ(is_multiple("0.4", "0.20001"), std::nullopt);
  EXPECT_EQ(is_multiple("40002", "20001"), std::nullopt);
}

}  // namespace
}  // namespace retort::grammar
