#include "retort/base/printable.h"

#include <gtest/gtest.h>

#include "retort/base/utf8.h"

namespace retort {
namespace {

TEST(Printable, WritesOutWhatATerminalObeys) {
  EXPECT_EQ(Printable("plain äöü 漢字 😀\n\ttext"), "plain äöü 漢字 😀\n\ttext");
  EXPECT_EQ(Printable("\x1b[2J\x1b]0;title\x07"), "\\x1b[2J\\x1b]0;title\\x07");
  EXPECT_EQ(Printable("a\rb\x7f\bc"), "a\\rb\\x7f\\x08c");
  EXPECT_EQ(Printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(Printable("\xC2\x9b"
                      "31m"),
            "\\x9b31m");  // CSI in one code point
  EXPECT_EQ(Printable("\xE2\x80\xAE"
                      "gnp.exe"),
            "\\u202egnp.exe");  // right to left
  EXPECT_EQ(Printable("\xE2\x80\xA8"), "\\u2028");
  EXPECT_EQ(PrintableLine("two\nlines\tand\x1b"), "two\\nlines\\tand\\x1b");
}

TEST(Printable, WritesOutBytesThatAreNoUtf8) {
  EXPECT_EQ(Printable("a\xFFz"), "a\\xffz");
  EXPECT_EQ(Printable("\x9b"
                      "31m"),
            "\\x9b31m");                                    // CSI in one byte
  EXPECT_EQ(Printable("\xC0\x9b"), "\\xc0\\x9b");           // overlong
  EXPECT_EQ(Printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(Printable("\xF0\x9F\x98"), "\\xf0\\x9f\\x98");  // cut
}

TEST(IsUtf8, HoldsExactlyForWellFormedTexts) {
  for (const char* text :
       {"", "a", "\x7f", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsUtf8(text)) << Printable(text);
  }
  for (const char* text :
       {"\x80", "\xBF", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xEF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xC2"}) {
    EXPECT_FALSE(IsUtf8(text)) << Printable(text);
  }
}

}  // namespace
}  // namespace retort
