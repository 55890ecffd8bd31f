#include "retort/grammar/grammar_scanner.h"

#include "retort/base/error.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {

void GrammarScanner::Fail(const std::string& why) const {
  builder_->Fail(ErrorCode::kInvalid, pos_, why);
}

bool GrammarScanner::Accept(std::string_view word) {
  if (!text_.substr(pos_).starts_with(word)) return false;
  pos_ += word.size();
  return true;
}

void GrammarScanner::Expect(std::string_view word) {
  if (!Accept(word)) Fail("'" + std::string(word) + "' expected");
}

uint32_t GrammarScanner::Number() {
  const size_t start = pos_;
  uint64_t value = 0;
  while (Peek() >= '0' && Peek() <= '9' && value < 1'000'000'000) {
    value = value * 10 + static_cast<uint64_t>(text_[pos_++] - '0');
  }
  if (pos_ == start || value >= 1'000'000'000) Fail("a number below 1000000000 expected");
  return static_cast<uint32_t>(value);
}

char32_t GrammarScanner::CodePoint() {
  const auto lead = static_cast<uint8_t>(Peek());
  const size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const std::u32string decoded = DecodeUtf8(text_.substr(pos_, size));
  if (decoded.size() != 1 || decoded[0] == U'\uFFFD') Fail("not UTF-8");
  pos_ += size;
  return decoded[0];
}

char32_t GrammarScanner::Escape(std::string_view letters, std::string_view selves) {
  constexpr std::string_view kLetters = "bfnrtv";
  constexpr std::string_view kMeanings = "\b\f\n\r\t\v";
  const char c = Peek();
  const auto is_one_of = [c](std::string_view set) { return set.find(c) != set.npos; };
  const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits == 0 && !is_one_of(letters) && !is_one_of(selves)) Fail("unknown escape");
  ++pos_;
  if (is_one_of(selves)) return static_cast<char32_t>(c);
  if (digits == 0) return static_cast<char32_t>(kMeanings[kLetters.find(c)]);
  uint64_t value = 0;
  for (int i = 0; i < digits; ++i, ++pos_) {
    const char d = Peek();
    const int digit = d >= '0' && d <= '9'                 ? d - '0'
                      : (d | 32) >= 'a' && (d | 32) <= 'f' ? (d | 32) - 'a' + 10
                                                           : -1;
    if (digit < 0) Fail("hexadecimal digit expected");
    value = value * 16 + static_cast<uint64_t>(digit);
  }
  if (value > kCodePointMax || (value >= kSurrogateFirst && value <= kSurrogateLast)) {
    Fail("no such character");
  }
  return static_cast<char32_t>(value);
}

}  // namespace retort::grammar
