#include "retort/grammar/lark_scanner.h"

#include "retort/base/error.h"
#include "retort/grammar/schema_document.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNameChar(char c) { return LarkScanner::IsNameStart(c) || IsDigit(c); }

}  // namespace

bool LarkScanner::IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool LarkScanner::AcceptWord(std::string_view word) {
  const std::string_view rest = text_.substr(pos_);
  if (!rest.starts_with(word)) return false;
  if (rest.size() > word.size() && IsNameChar(rest[word.size()])) return false;
  pos_ += word.size();
  return true;
}

void LarkScanner::Space(bool lines) {
  while (!AtEnd()) {
    const char c = text_[pos_];
    if (c == '#' || text_.substr(pos_).starts_with("//")) {
      while (!AtEnd() && text_[pos_] != '\n') ++pos_;
    } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
      ++pos_;
    } else {
      return;
    }
  }
}

bool LarkScanner::AcceptOr(bool inside) {
  Space(inside);
  const size_t before = pos_;
  Space(true);
  if (Accept("|")) return true;
  if (!inside) pos_ = before;
  return false;
}

void LarkScanner::EndOfLine() {
  Space(false);
  if (!AtEnd() && text_[pos_] != '\n' && text_[pos_] != '\r') Fail("the end of the line expected");
}

std::string LarkScanner::Name() {
  if (!IsNameStart(Peek())) Fail("a name expected");
  const size_t start = pos_;
  while (!AtEnd() && IsNameChar(text_[pos_])) ++pos_;
  return std::string(text_.substr(start, pos_ - start));
}

std::optional<std::pair<uint32_t, uint32_t>> LarkScanner::Count() {
  const size_t start = pos_;
  Space(false);
  const bool tilde = Peek() == '~';
  // "A ~B" complements B; "A ~ 3" repeats A.
  if (!tilde && (pos_ != start || Peek() != '{')) {
    pos_ = start;
    return {};
  }
  ++pos_;
  Space(false);
  if (tilde && !IsDigit(Peek())) {
    pos_ = start;
    return {};
  }
  const uint32_t min = Peek() == ',' && !tilde ? 0 : Number();
  uint32_t max = min;
  if (tilde) {
    Space(false);
    if (Accept("..")) {
      Space(false);
      max = Number();
    }
    return std::pair{min, max};
  }
  Space(false);
  if (Accept(",")) {
    Space(false);
    max = IsDigit(Peek()) ? Number() : kUnbounded;
  }
  Space(false);
  Expect("}");
  return std::pair{min, max};
}

std::u32string LarkScanner::String() {
  Expect("\"");
  std::u32string out;
  while (Peek() != '"') {
    if (AtEnd() || Peek() == '\n') Fail("a string has no closing quote");
    out += Accept("\\") ? Escape("bfnrtv", "\"'\\/") : CodePoint();
  }
  ++pos_;
  return out;
}

bool LarkScanner::AcceptFlag(char flag) {
  if (Peek() != flag) return false;
  if (pos_ + 1 < text_.size() && IsNameChar(text_[pos_ + 1])) return false;
  ++pos_;
  return true;
}

LarkScanner::Pattern LarkScanner::RegexLiteral() {
  Expect("/");
  const size_t start = pos_;
  std::string body;
  while (Peek() != '/') {
    if (AtEnd() || Peek() == '\n') Fail("a regular expression has no closing '/'");
    if (Peek() == '\\' && pos_ + 1 < text_.size()) {
      if (text_[pos_ + 1] != '/') body += '\\';
      ++pos_;
    }
    body += text_[pos_++];
  }
  if (pos_ == start) Fail("an empty regular expression");
  ++pos_;
  std::string flags;
  for (; IsNameStart(Peek()); ++pos_) {
    const char flag = Peek();
    if (flag == 'm' || flag == 'l') {
      builder_->Fail(ErrorCode::kUnsupported, pos_, "flags m and l are not supported");
    }
    if (std::string_view("isxu").find(flag) == std::string_view::npos) {
      Fail("unknown flag of a regular expression");
    }
    flags += flag;
  }
  return {flags.empty() ? body : "(?" + flags + ":" + body + ")"};
}

std::string_view LarkScanner::JsonBlock() {
  const size_t start = pos_;
  if (Peek() != '{') Fail("'{' expected");
  int depth = 0;
  bool inside = false;
  for (; !AtEnd(); ++pos_) {
    const char c = text_[pos_];
    if (inside && c == '\\') {
      ++pos_;
    } else if (c == '"') {
      inside = !inside;
    } else if (!inside && c == '{') {
      ++depth;
    } else if (!inside && c == '}' && --depth == 0) {
      ++pos_;
      return text_.substr(start, pos_ - start);
    }
  }
  pos_ = start;
  Fail("'{' has no '}'");
}

bool LarkScanner::HasIgnore() const {
  for (size_t at = text_.find("%ignore"); at != std::string_view::npos;
       at = text_.find("%ignore", at + 1)) {
    const size_t line = at == 0 ? 0 : text_.rfind('\n', at - 1) + 1;
    if (text_.substr(line, at - line).find_first_not_of(" \t\r") == std::string_view::npos) {
      return true;
    }
  }
  return false;
}

std::optional<std::vector<std::u32string>> LarkScanner::SubstringParts(std::string_view json,
                                                                       const Limits& limits) {
  const auto document = ReadSchemaDocument(json, "%regex", limits);
  if (!document->root->is_object() || document->root->members.size() != 1) return {};
  const auto& [name, value] = document->root->members[0];
  std::vector<std::u32string> parts;
  if (name == "substring_chunks" && value->is_array()) {
    for (const SchemaValue* item : value->items) {
      if (!item->is_string()) return {};
      parts.push_back(DecodeUtf8(item->text));
    }
    return parts;
  }
  if (!value->is_string() || (name != "substring_words" && name != "substring_chars")) return {};
  // Words and what stands between them are parts of their own.
  bool in_word = false;
  for (const char32_t c : DecodeUtf8(value->text)) {
    const bool word = c >= 0x80 || IsNameChar(static_cast<char>(c));
    if (parts.empty() || name == "substring_chars" || word != in_word) parts.emplace_back();
    parts.back() += c;
    in_word = word;
  }
  return parts;
}

}  // namespace retort::grammar
