#include "retort/base/text_file.h"

#include <gmock/gmock.h>

#include "retort/base/error.h"

namespace retort {
namespace {

using testing::HasSubstr;

TEST(FindBadUtf8, AfterTheUnicodeTable) {
  EXPECT_EQ(FindBadUtf8("aé€😀\u0000z"), std::string_view::npos);
  EXPECT_EQ(FindBadUtf8("\xF4\x8F\xBF\xBF"), std::string_view::npos);
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\xE2\x82", "\xE2\x28\xA1"}) {
    EXPECT_EQ(FindBadUtf8(std::string("ab") + bad), 2u);
  }
}

TEST(FindBadUtf8, EveryByteOfASequenceCounts) {
  for (const std::string good : {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    for (const std::string tail : {"", "z", "\xC3\xA9"}) {
      EXPECT_EQ(FindBadUtf8("ab" + good + tail), std::string_view::npos);
      for (size_t i = 0; i < good.size(); ++i) {
        for (const char byte : {'a', '\x00', '\x7F', '\xC0', '\xFF', '"'}) {
          std::string bad = good;
          bad[i] = byte;
          // Where the lead byte became ASCII, what follows it is bad.
          const size_t at = i == 0 && static_cast<unsigned char>(byte) < 0x80 ? 3 : 2;
          EXPECT_EQ(FindBadUtf8("ab" + bad + tail), at) << i << " " << int(byte);
        }
        const std::string cut = good.substr(0, i);
        EXPECT_EQ(FindBadUtf8("ab" + cut), i == 0 ? std::string_view::npos : 2u);
      }
    }
  }
}

TEST(TextOf, LeavesOutWhatTheEditorAdds) {
  const std::pair<const char*, const char*> cases[] = {
      {"a+", "a+"},
      {"a+\n", "a+"},
      {"a+\r\n", "a+"},
      {"a+\n\n", "a+\n"},
      {"a\nb\n", "a\nb"},
      {"a\r\nb\r\n", "a\r\nb"},
      {"\xEF\xBB\xBF"
       "a+\r\n",
       "a+"},
      {"a\r", "a\r"},
      {"\xEF\xBB\xBF", ""},
      {"\n", ""},
      {"", ""},
      {"a\xEF\xBB\xBF", "a\xEF\xBB\xBF"},
  };
  for (const auto& [bytes, text] : cases) EXPECT_EQ(TextOf(bytes, "f"), text) << bytes;
}

TEST(TextOf, SaysWhereItIsNoUtf8) {
  const std::pair<std::string, const char*> cases[] = {
      {"ab\xFFz", "'f' is not UTF-8: byte 0xFF at offset 2"},
      {"\xEF\xBB\xBF"
       "a\xE9",
       "byte 0xE9 at offset 4"},
      {std::string("\xFF\xFE"
                   "a\0",
                   4),
       "UTF-16"},
  };
  for (const auto& [bytes, why] : cases) {
    try {
      TextOf(bytes, "f");
      ADD_FAILURE() << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      EXPECT_THAT(error.message(), HasSubstr(why));
    }
  }
}

}  // namespace
}  // namespace retort
