#include "retort/cli/table.h"

#include <gtest/gtest.h>

namespace retort {
namespace {

TEST(Table, NumbersToTheRightTextToTheLeft) {
  Table table({"step", "rows"});
  table.AddRow({"load", "7"});
  table.AddRow({"é", "1,234"});
  EXPECT_EQ(table.Text(),
            "step   rows\n"
            "load      7\n"
            "é     1,234\n");
}

TEST(Table, FitsAWidthByItsFirstColumnElseInLines) {
  Table table({"step", "in", "empty"});
  table.AddRow({"a_long_name_of_a_step", "1,234", "0"});
  EXPECT_EQ(table.Text(28),
            "step                      in\n"
            "a_long_name_of_a_step  1,234\n");
  EXPECT_EQ(table.Text(27),
            "step                     in\n"
            "a_long_nam…of_a_step  1,234\n");
  EXPECT_EQ(table.Text(15),
            "step         in\n"
            "a_lo…tep  1,234\n");
  EXPECT_EQ(table.Text(14),
            "a_long_…a_step\n"
            "  in 1,234\n");
}

TEST(Cut, KeepsCharactersWhole) {
  EXPECT_EQ(CutEnd("äöü", 3), "äöü");
  EXPECT_EQ(CutEnd("äöü", 2), "ä…");
  EXPECT_EQ(CutEnd("äöü", 0), "");
  EXPECT_EQ(CutMiddle("äöüßé", 5), "äöüßé");
  EXPECT_EQ(CutMiddle("äöüßé", 4), "äö…é");
  EXPECT_EQ(CutMiddle("äöüßé", 3), "ä…é");
  EXPECT_EQ(CutMiddle("äöüßé", 2), "ä…");
}

TEST(Format, BytesCountsAndSeconds) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16384.0 PiB");
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(CountOf(1, "row"), "1 row");
  EXPECT_EQ(CountOf(1000, "row"), "1,000 rows");
  EXPECT_EQ(FormatSeconds(3.25), "3.2 s");
  EXPECT_EQ(FormatSeconds(59.4), "59 s");
  EXPECT_EQ(FormatSeconds(125), "2 min 05 s");
  EXPECT_EQ(FormatSeconds(3840), "1 h 04 min");
  EXPECT_EQ(FormatSeconds(-1), "?");
}

}  // namespace
}  // namespace retort
