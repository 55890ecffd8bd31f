#include "retort/chat/lexer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "retort/base/error.h"
#include "retort/chat/unicode.h"
#include "retort/chat/value.h"

namespace retort::jinja {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNameByte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

size_t SkipSpace(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint point = DecodeAt(text, at);
    if (!IsSpace(point.value)) break;
    at += point.num_bytes;
  }
  return at;
}

size_t SpaceStart(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t start = PreviousStart(text, end);
    if (!IsSpace(DecodeAt(text, start).value)) break;
    end = start;
  }
  return end;
}

// \r\n and \r are line ends like \n; one at the very end is dropped unless it is to be kept.
std::string NormalizeNewlines(std::string_view source, bool keep_trailing_newline) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!keep_trailing_newline && !out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string source, std::string_view origin, const TemplateOptions& options)
      : source_(std::move(source)), text_(source_), origin_(origin), options_(options) {}

  std::vector<Token> Run() {
    while (at_ < text_.size()) LexRoot();
    Push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  enum class Tag { kComment, kBlock, kVariable };

  [[noreturn]] void FailHere(std::string_view message) { FailSyntax(origin_, line_, message); }

  void Push(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }

  bool Starts(std::string_view prefix, size_t at) const {
    return text_.substr(at, prefix.size()) == prefix;
  }

  // Moves to `end`, counting lines and remembering whether a line begins there.
  void MoveTo(size_t end) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    if (end > at_) is_line_start_ = text_[end - 1] == '\n';
    at_ = end;
  }

  // Emits data [at_, end), with white space before a tag taken off as its sign and the options say.
  void EmitData(size_t end, char sign, bool is_variable) {
    std::string_view data = text_.substr(at_, end - at_);
    if (sign == '-') {
      data = data.substr(0, SpaceStart(data, data.size()));
    } else if (sign != '+' && options_.lstrip_blocks && !is_variable) {
      const size_t newline = data.rfind('\n');
      const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line_start > 0 || is_line_start_) && SkipSpace(data, line_start) == data.size()) {
        data = data.substr(0, line_start);
      }
    }
    if (!data.empty()) Push(TokenKind::kData, std::string(data));
    MoveTo(end);
  }

  char SignAt(size_t at) const {
    return at < text_.size() && (text_[at] == '-' || text_[at] == '+') ? text_[at] : '\0';
  }

  void LexRoot() {
    size_t open = at_;
    for (;; ++open) {
      open = text_.find('{', open);
      if (open == std::string_view::npos || open + 1 >= text_.size()) {
        Push(TokenKind::kData, std::string(text_.substr(at_)));
        MoveTo(text_.size());
        return;
      }
      const char second = text_[open + 1];
      if (second == '{' || second == '%' || second == '#') break;
    }
    const char sign = SignAt(open + 2);
    const size_t inside = open + 2 + (sign != '\0' ? 1 : 0);
    switch (text_[open + 1]) {
      case '#':
        EmitData(open, sign, false);
        MoveTo(inside);
        LexComment();
        break;
      case '%':
        EmitData(open, sign, false);
        if (const size_t raw = RawBodyStart(inside)) {
          MoveTo(raw);
          LexRaw();
          break;
        }
        Push(TokenKind::kBlockBegin, "");
        MoveTo(inside);
        LexTag(Tag::kBlock);
        break;
      default:
        EmitData(open, sign, true);
        Push(TokenKind::kVariableBegin, "");
        MoveTo(inside);
        LexTag(Tag::kVariable);
    }
  }

  // Where a tag that ends with `close` ("%}") at `at` leaves off, or 0 if none ends there.
  size_t TagEnd(size_t at, std::string_view close, bool is_trimmed) const {
    if (Starts(close, at)) {
      const size_t end = at + close.size();
      const bool has_newline = end < text_.size() && text_[end] == '\n';
      return is_trimmed && options_.trim_blocks && has_newline ? end + 1 : end;
    }
    if (at < text_.size() && Starts(close, at + 1)) {
      const size_t end = at + 1 + close.size();
      if (text_[at] == '-') return SkipSpace(text_, end);
      if (text_[at] == '+' && is_trimmed) return end;
    }
    return 0;
  }

  void LexComment() {
    if (at_ == text_.size()) return;  // opened by the last two characters: Python lets it be
    for (size_t at = at_; at < text_.size(); ++at) {
      if (const size_t end = TagEnd(at, "#}", true)) {
        MoveTo(end);
        return;
      }
    }
    FailHere("missing end of comment tag '#}'");
  }

  // The start of a raw block's body if `{% raw %}` stands here, else 0.
  size_t RawBodyStart(size_t inside) const {
    size_t at = SkipSpace(text_, inside);
    if (!Starts("raw", at)) return 0;
    at = SkipSpace(text_, at + 3);
    if (Starts("-%}", at)) return SkipSpace(text_, at + 3);
    return Starts("%}", at) ? at + 2 : 0;
  }

  void LexRaw() {
    if (at_ == text_.size()) return;
    for (size_t open = text_.find("{%", at_); open != std::string_view::npos;
         open = text_.find("{%", open + 1)) {
      const char sign = SignAt(open + 2);
      size_t at = SkipSpace(text_, open + 2 + (sign != '\0' ? 1 : 0));
      if (!Starts("endraw", at)) continue;
      at = SkipSpace(text_, at + 6);
      if (const size_t end = TagEnd(at, "%}", true)) {
        EmitData(open, sign, false);
        MoveTo(end);
        return;
      }
    }
    FailHere("missing end of raw directive");
  }

  void LexTag(Tag tag) {
    const bool is_block = tag == Tag::kBlock;
    const std::string_view close = is_block ? "%}" : "}}";
    std::string brackets;  // the closing ones that are due
    while (true) {
      if (at_ >= text_.size()) return;  // the parser says what is missing
      if (brackets.empty()) {
        if (const size_t end = TagEnd(at_, close, is_block)) {
          Push(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, "");
          MoveTo(end);
          return;
        }
      }
      const size_t after_space = SkipSpace(text_, at_);
      if (after_space != at_) {
        MoveTo(after_space);
        continue;
      }
      const char c = text_[at_];
      if (IsDigit(c) && LexNumber()) continue;
      if (IsNameByte(c)) {
        LexName();
      } else if (c == '\'' || c == '"') {
        LexString(c);
      } else {
        LexOperator(brackets);
      }
    }
  }

  // Digits with single underscores between them.
  size_t DigitsEnd(size_t at, bool (*is_digit)(char)) const {
    while (at < text_.size()) {
      if (is_digit(text_[at])) {
        ++at;
      } else if (text_[at] == '_' && at + 1 < text_.size() && is_digit(text_[at + 1])) {
        at += 2;
      } else {
        break;
      }
    }
    return at;
  }

  void PushNumber(TokenKind kind, size_t end) {
    std::string digits(text_.substr(at_, end - at_));
    std::erase(digits, '_');
    Push(kind, std::move(digits));
    MoveTo(end);
  }

  bool LexNumber() {
    const bool follows_dot = at_ > 0 && text_[at_ - 1] == '.';  // x.0.1 has no float in it
    const size_t whole_end = DigitsEnd(at_, IsDigit);
    size_t end = whole_end;
    if (end + 1 < text_.size() && text_[end] == '.' && IsDigit(text_[end + 1])) {
      end = DigitsEnd(end + 1, IsDigit);
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
      if (exponent < text_.size() && IsDigit(text_[exponent])) end = DigitsEnd(exponent, IsDigit);
    }
    if (end != whole_end && !follows_dot) {
      PushNumber(TokenKind::kFloat, end);
      return true;
    }
    if (text_[at_] != '0') {
      PushNumber(TokenKind::kInteger, whole_end);
      return true;
    }
    const char base = at_ + 1 < text_.size() ? static_cast<char>(text_[at_ + 1] | 0x20) : '\0';
    bool (*is_digit)(char) = nullptr;
    if (base == 'x') is_digit = [](char c) { return std::isxdigit(static_cast<uint8_t>(c)) != 0; };
    if (base == 'o') is_digit = [](char c) { return c >= '0' && c <= '7'; };
    if (base == 'b') is_digit = [](char c) { return c == '0' || c == '1'; };
    if (is_digit != nullptr) {
      const size_t based_end = DigitsEnd(at_ + 2, is_digit);
      if (based_end > at_ + 2) {
        PushNumber(TokenKind::kInteger, based_end);
        return true;
      }
    }
    PushNumber(TokenKind::kInteger, DigitsEnd(at_, [](char c) { return c == '0'; }));
    return true;
  }

  void LexName() {
    size_t end = at_;
    while (end < text_.size() && IsNameByte(text_[end])) ++end;
    const std::string_view name = text_.substr(at_, end - at_);
    for (size_t at = 0; at < name.size();) {
      const CodePoint point = DecodeAt(name, at);
      if (!IsWord(point.value)) FailHere("invalid character in identifier");
      at += point.num_bytes;
    }
    Push(TokenKind::kName, std::string(name));
    MoveTo(end);
  }

  void LexString(char quote) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size())
      FailHere(fmt::format("unexpected char {} (a string is not closed)", quote));
    Push(TokenKind::kString, Unescape(text_.substr(at_ + 1, end - at_ - 1)));
    MoveTo(end + 1);
  }

  uint32_t HexEscape(std::string_view body, size_t begin, size_t num_digits) {
    uint32_t value = 0;
    for (size_t i = begin; i < begin + num_digits; ++i) {
      if (i >= body.size() || std::isxdigit(static_cast<unsigned char>(body[i])) == 0) {
        FailHere("truncated \\x, \\u or \\U escape in a string");
      }
      const char c = static_cast<char>(body[i] | 0x20);
      value = value * 16 + static_cast<uint32_t>(IsDigit(c) ? c - '0' : c - 'a' + 10);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      FailHere(fmt::format("escape U+{:04X} in a string is not a character", value));
    }
    return value;
  }

  std::string Unescape(std::string_view body) {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    std::string out;
    for (size_t i = 0; i < body.size(); ++i) {
      if (body[i] != '\\') {
        out += body[i];
        continue;
      }
      const char c = body[++i];  // the lexer saw a character after each backslash
      const size_t letter = kLetters.find(c);
      if (letter != std::string_view::npos) {
        out += kMeanings[letter];
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t num_digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        AppendUtf8(out, HexEscape(body, i + 1, num_digits));
        i += num_digits;
      } else if (c >= '0' && c <= '7') {
        uint32_t value = 0;
        size_t end = i;
        for (; end < std::min(i + 3, body.size()) && body[end] >= '0' && body[end] <= '7'; ++end) {
          value = value * 8 + static_cast<uint32_t>(body[end] - '0');
        }
        AppendUtf8(out, value);
        i = end - 1;
      } else if (c == 'N') {
        FailHere("\\N escapes are not supported in strings");
      } else if (c != '\n') {  // a backslash before a line end joins the lines
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  void LexOperator(std::string& brackets) {
    static constexpr std::array<std::string_view, 7> kPairs = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kSingles = "+-/*%~[](){}><=.:|,;";
    std::string_view found = text_.substr(at_, 2);
    if (found.size() < 2 || std::find(kPairs.begin(), kPairs.end(), found) == kPairs.end()) {
      found = text_.substr(at_, 1);
      if (kSingles.find(found) == std::string_view::npos) {
        FailHere(fmt::format("unexpected char '{}'", found));
      }
    }
    if (found == "(") brackets += ')';
    if (found == "[") brackets += ']';
    if (found == "{") brackets += '}';
    if (found == ")" || found == "]" || found == "}") {
      if (brackets.empty()) FailHere(fmt::format("unexpected '{}'", found));
      if (brackets.back() != found[0]) {
        FailHere(fmt::format("unexpected '{}', expected '{}'", found, brackets.back()));
      }
      brackets.pop_back();
    }
    Push(TokenKind::kOperator, std::string(found));
    MoveTo(at_ + found.size());
  }

  const std::string source_;
  const std::string_view text_;
  const std::string_view origin_;
  const TemplateOptions& options_;
  size_t at_ = 0;
  int line_ = 1;
  bool is_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::string Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "end of template";
    case TokenKind::kData:
      return "template data";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kString:
      return "a string";
    default:
      return Shown(token.text);
  }
}

void FailSyntax(std::string_view origin, int line, std::string_view message) {
  Throw(ErrorCode::kInvalid, "{}:{}: {}", origin, line, message);
}

std::vector<Token> Tokenize(std::string_view source, std::string_view origin,
                            const TemplateOptions& options) {
  return Lexer(NormalizeNewlines(source, options.keep_trailing_newline), origin, options).Run();
}

}  // namespace retort::jinja
