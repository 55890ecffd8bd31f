#include "retort/grammar/regex_syntax.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "retort/base/error.h"
#include "retort/grammar/regex_anchors.h"
#include "retort/grammar/unicode_classes.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

class Parser {
 public:
  Parser(std::string_view pattern, RegexDialect dialect, bool search, const Limits& limits,
         RegexPool* pool)
      : text_(DecodeUtf8(pattern)),
        unicode_(dialect != RegexDialect::kEcma),
        is_token_(dialect == RegexDialect::kUnicodeToken),
        search_(search),
        limits_(limits),
        pool_(pool) {
    flags_.unicode = unicode_;
  }

  Anchored Parse() {
    Anchored result = ParseAlternatives(0);
    if (pos_ < text_.size()) Fail(ErrorCode::kInvalid, "')' closes no group");
    return result;
  }

 private:
  struct Flags {
    bool ignore_case = false;
    bool dot_all = false;
    bool extended = false;
    bool unicode = false;
  };

  [[noreturn]] void Fail(ErrorCode code, std::string_view why) const {
    Throw(code, "at character {}: {}", pos_ + 1, why);
  }
  bool AtEnd() const { return pos_ >= text_.size(); }
  char32_t Peek(size_t ahead = 0) const {
    return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : U'\0';
  }
  bool Accept(char32_t c) {
    if (AtEnd() || text_[pos_] != c) return false;
    ++pos_;
    return true;
  }
  bool AcceptText(std::u32string_view word) {
    if (std::u32string_view(text_).substr(pos_, word.size()) != word) return false;
    pos_ += word.size();
    return true;
  }

  Anchored ParseAlternatives(int depth) {
    if (depth > limits_.depth_max) Fail(ErrorCode::kExhausted, "groups nest too deep");
    std::vector<Anchored> branches{ParseSequence(depth)};
    while (Accept(U'|')) branches.push_back(ParseSequence(depth));
    if (branches.size() == 1) return branches[0];
    Anchored result;
    for (int s = 0; s < 2; ++s) {
      for (int e = 0; e < 2; ++e) {
        std::vector<Regex> parts;
        for (const Anchored& branch : branches) parts.push_back(branch.at[s][e]);
        result.at[s][e] = pool_->Or(parts);
      }
    }
    return result;
  }

  struct Item {
    Anchored matches;  // of a look-ahead: what it looks for
    enum class Kind { kPart, kAhead, kNotAhead } kind = Kind::kPart;
    bool holds_ahead = false;  // there is a look-ahead somewhere inside
    size_t position = 0;
  };

  Anchored ParseSequence(int depth) {
    std::vector<Item> items;
    while (!AtEnd() && Peek() != U'|' && Peek() != U')') {
      if (flags_.extended && SkipExtended()) continue;
      Item item;
      item.position = pos_;
      const size_t num_aheads = num_aheads_;
      if (AcceptText(U"(?=") || AcceptText(U"(?!")) {
        item.kind = text_[pos_ - 1] == U'=' ? Item::Kind::kAhead : Item::Kind::kNotAhead;
        item.matches = ParseAhead(depth);
        items.push_back(std::move(item));
        continue;
      }
      const std::optional<Anchored> atom = ParseAtom(depth);
      if (!atom) continue;  // a flag group
      item.holds_ahead = num_aheads_ > num_aheads;
      const size_t end = pos_;
      item.matches = ParseRepeats(*atom);
      if (item.holds_ahead && pos_ > end) FailAhead(item.position);
      items.push_back(std::move(item));
    }
    Anchored result = Anchored::Plain(kEpsilon);
    for (size_t i = items.size(); i-- > 0;) {
      const Item& item = items[i];
      if (item.kind != Item::Kind::kPart) {
        const bool at_start = std::all_of(items.begin(), items.begin() + i, IsStartAnchor) &&
                              (i > 0 || (!search_ && depth == 0));
        result = Ahead(item, at_start, result);
        continue;
      }
      // The part that it looks at must go on to the end of the pattern.
      if (item.holds_ahead && !IsOnlyEmpty(result)) FailAhead(item.position);
      result = anchors_.Concat(item.matches, result);
    }
    return result;
  }

  // After "(?=" or "(?!".
  Anchored ParseAhead(int depth) {
    ++num_aheads_;
    if (is_token_) {
      Fail(ErrorCode::kUnsupported,
           "look-ahead in a terminal sees what follows it and is not supported: write an "
           "intersection, as in /[a-z]+/ & ~/no.*/");
    }
    const Flags saved = flags_;
    // Whatever is looked for, any text may follow it.
    const bool search = std::exchange(search_, true);
    const Anchored result = ParseAlternatives(depth + 1);
    if (!Accept(U')')) Fail(ErrorCode::kInvalid, "a look-ahead has no ')'");
    search_ = search;
    flags_ = saved;
    const char32_t c = Peek();
    if (!AtEnd() && (c == U'*' || c == U'+' || c == U'?' || (c == U'{' && ParseBraces()))) {
      Fail(ErrorCode::kUnsupported, "a look-ahead cannot be repeated");
    }
    return result;
  }

  [[noreturn]] void FailAhead(size_t position) {
    pos_ = position;
    Fail(ErrorCode::kUnsupported,
         "look-ahead is supported where the pattern ends with what is looked at, as in "
         "^(?!no)[a-z]+$: not before other parts, nor in a repeat");
  }

  static bool IsOnlyEmpty(const Anchored& x) {
    const auto is_empty = [](Regex r) { return r == kNothing || r == kEpsilon; };
    return is_empty(x.at[0][0]) && is_empty(x.at[0][1]) && is_empty(x.at[1][0]) &&
           is_empty(x.at[1][1]);
  }
  static bool IsStartAnchor(const Item& item) {
    return item.kind == Item::Kind::kPart && item.matches.at[1][0] == kEpsilon &&
           item.matches.at[0][0] == kNothing && item.matches.at[0][1] == kNothing &&
           item.matches.at[1][1] == kNothing;
  }

  // `rest` of the pattern, where all that follows in the text begins (or does not) with what the
  // look-ahead `item` looks for: an intersection of languages.
  Anchored Ahead(const Item& item, bool at_start, const Anchored& rest) {
    const auto to_end = [&](const Anchored& x, int s, bool any_after) {
      const Regex open = any_after ? pool_->Cat(x.at[s][0], kEverything) : x.at[s][0];
      return pool_->Or(open, x.at[s][1]);
    };
    const Regex anywhere = to_end(rest, 0, search_);
    const Regex first = to_end(rest, 1, search_);  // where the text begins
    const Regex looked = to_end(item.matches, 0, true);
    const Regex looked_first = to_end(item.matches, 1, true);
    Anchored result;
    if (item.kind == Item::Kind::kAhead) {
      result.at[0][1] = pool_->And(anywhere, looked);
      result.at[1][1] = pool_->Or(pool_->And(anywhere, looked_first),
                                  pool_->And(first, pool_->Or(looked, looked_first)));
    } else if (at_start) {
      result.at[1][1] =
          pool_->And(pool_->Or(anywhere, first), pool_->Not(pool_->Or(looked, looked_first)));
    } else if (looked_first == kNothing) {
      result.at[0][1] = pool_->And(anywhere, pool_->Not(looked));
      result.at[1][1] = pool_->And(first, pool_->Not(looked));
    } else {
      pos_ = item.position;
      Fail(ErrorCode::kUnsupported,
           "'^' in a look-ahead is supported at the beginning of the pattern: write ^ before it");
    }
    return result;
  }

  bool SkipExtended() {
    if (Peek() == U'#') {
      while (!AtEnd() && Peek() != U'\n') ++pos_;
      return true;
    }
    if (Peek() == U' ' || (Peek() >= U'\t' && Peek() <= U'\r')) {
      ++pos_;
      return true;
    }
    return false;
  }

  // {m}, {m,}, {m,n}, and where ECMA does not say otherwise {,n}: reads it, or leaves the position
  // where it was.
  std::optional<std::pair<uint32_t, uint32_t>> ParseBraces() {
    const size_t start = pos_;
    ++pos_;
    const auto number = [&](std::optional<uint32_t>* out) {
      while (Peek() >= U'0' && Peek() <= U'9') {
        const uint64_t value = uint64_t{out->value_or(0)} * 10 + (Peek() - U'0');
        if (value > 1'000'000'000) Fail(ErrorCode::kInvalid, "repeat count too large");
        *out = static_cast<uint32_t>(value);
        ++pos_;
      }
    };
    std::optional<uint32_t> min;
    std::optional<uint32_t> max;
    number(&min);
    bool comma = false;
    if (!min && unicode_ && Peek() == U',') min = 0;
    if (min && Accept(U',')) {
      comma = true;
      number(&max);
    }
    if (!min || !Accept(U'}')) {
      pos_ = start;
      return {};
    }
    return std::pair{*min, max ? *max : comma ? kUnbounded : *min};
  }

  Anchored ParseRepeats(Anchored atom) {
    for (bool repeated = false; !AtEnd(); repeated = true) {
      uint32_t min = 0;
      uint32_t max = kUnbounded;
      const char32_t c = Peek();
      if (flags_.extended && SkipExtended()) continue;
      if (c == U'*' || c == U'+' || c == U'?') {
        ++pos_;
        min = c == U'+' ? 1 : 0;
        max = c == U'?' ? 1 : kUnbounded;
      } else if (c == U'{') {
        const auto braces = ParseBraces();
        if (!braces) break;  // the character
        std::tie(min, max) = *braces;
        if (min > max) Fail(ErrorCode::kInvalid, "repeat count: the minimum exceeds the maximum");
      } else {
        break;
      }
      if (repeated && !unicode_) Fail(ErrorCode::kInvalid, "nothing to repeat");
      Accept(U'?');  // lazy: the same strings
      if (!unicode_ && Peek() == U'+') {
        Fail(ErrorCode::kUnsupported,
             "possessive repeats are not supported: leave the second '+' out");
      }
      atom = Repeat(atom, min, max);
    }
    return atom;
  }

  Anchored Repeat(const Anchored& x, uint32_t min, uint32_t max) {
    const auto repeated = anchors_.Repeat(x, min, max);
    if (!repeated) {
      Fail(ErrorCode::kUnsupported, "an anchor inside a counted repeat is not supported");
    }
    return *repeated;
  }

  Anchored Class(CodePointSet set) {
    if (flags_.ignore_case) set = FoldCase(set);
    return Anchored::Plain(pool_->Set(set));
  }

  std::optional<Anchored> ParseAtom(int depth) {
    const char32_t c = Peek();
    switch (c) {
      case U'(':
        return ParseGroup(depth);
      case U'[':
        ++pos_;
        return Class(ParseClass(depth));
      case U'\\':
        ++pos_;
        return ParseEscape();
      case U'^':
      case U'$': {
        ++pos_;
        if (multi_line_) Fail(ErrorCode::kUnsupported, "anchors of lines (?m) are not supported");
        Anchored result;
        (c == U'^' ? result.at[1][0] : result.at[0][1]) = kEpsilon;
        return result;
      }
      case U'.': {
        ++pos_;
        if (flags_.dot_all) return Anchored::Plain(pool_->Set(CodePointSet::Any()));
        CodePointSet line_ends = CodePointSet::One('\n');
        if (!unicode_) line_ends = CodePointSet{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
        return Anchored::Plain(pool_->Set(line_ends.Complement()));
      }
      case U'*':
      case U'+':
      case U'?':
        Fail(ErrorCode::kInvalid, "nothing to repeat");
      case U'{':
        if (ParseBraces()) Fail(ErrorCode::kInvalid, "nothing to repeat");
        break;
      default:
        break;
    }
    ++pos_;
    return Class(CodePointSet::One(c));
  }

  std::optional<Anchored> ParseGroup(int depth) {
    ++pos_;
    const Flags saved = flags_;
    if (Accept(U'?')) {
      if (Peek() == U'<' && (Peek(1) == U'=' || Peek(1) == U'!')) {
        Fail(ErrorCode::kUnsupported,
             "look-behind is not supported: write what comes before as a part of the pattern");
      }
      if (Peek() == U'>') {
        Fail(ErrorCode::kUnsupported, "atomic groups are not supported: write (?:...)");
      }
      if (Peek() == U'P' && Peek(1) == U'=') {
        Fail(ErrorCode::kUnsupported, "back-references are not regular");
      }
      if (Peek() == U'<' || (Peek() == U'P' && Peek(1) == U'<')) {
        pos_ += Peek() == U'P' ? 2 : 1;
        while (!AtEnd() && Peek() != U'>') ++pos_;
        if (!Accept(U'>')) Fail(ErrorCode::kInvalid, "a group's name has no '>'");
      } else if (!Accept(U':')) {
        const size_t before = pos_;
        ParseFlags();
        if (pos_ > before && Accept(U')')) return {};
        if (!Accept(U':')) {
          const bool letter = (Peek() | 32) >= U'a' && (Peek() | 32) <= U'z';
          Fail(letter ? ErrorCode::kUnsupported : ErrorCode::kInvalid,
               letter ? "this flag of a group is not supported" : "unknown kind of group");
        }
      }
    }
    Anchored result = ParseAlternatives(depth + 1);
    if (!Accept(U')')) Fail(ErrorCode::kInvalid, "a group has no ')'");
    flags_ = saved;
    return result;
  }

  void ParseFlags() {
    bool value = true;
    for (; !AtEnd(); ++pos_) {
      switch (Peek()) {
        case U'-':
          value = false;
          break;
        case U'i':
          flags_.ignore_case = value;
          break;
        case U's':
          flags_.dot_all = value;
          break;
        case U'x':
          flags_.extended = value;
          break;
        case U'u':
          flags_.unicode = value;
          break;
        case U'U':
          break;  // greediness: the same strings
        case U'm':
          multi_line_ = value;
          break;
        default:
          return;
      }
    }
  }

  uint32_t ParseHex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++pos_) {
      const char32_t c = Peek();
      const int digit = c >= U'0' && c <= U'9'   ? static_cast<int>(c - U'0')
                        : c >= U'a' && c <= U'f' ? static_cast<int>(c - U'a' + 10)
                        : c >= U'A' && c <= U'F' ? static_cast<int>(c - U'A' + 10)
                                                 : -1;
      if (digit < 0) Fail(ErrorCode::kInvalid, "hexadecimal digit expected");
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    return value;
  }

  uint32_t ParseBracedHex() {
    uint32_t value = 0;
    while (!AtEnd() && Peek() != U'}') {
      value = value * 16 + ParseHex(1);
      if (value > kCodePointMax) Fail(ErrorCode::kInvalid, "no such code point");
    }
    if (!Accept(U'}')) Fail(ErrorCode::kInvalid, "'}' expected");
    return value;
  }

  // After the backslash: a code point, or a set of them; nullopt if it is neither.
  std::optional<CodePointSet> ParseClassEscape(bool in_class) {
    const char32_t c = Peek();
    ++pos_;
    const bool unicode = flags_.unicode && unicode_;
    switch (c) {
      case U'd':
        return DigitSet(unicode);
      case U'D':
        return DigitSet(unicode).Complement();
      case U'w':
        return WordSet(unicode);
      case U'W':
        return WordSet(unicode).Complement();
      case U's':
        return SpaceSet(unicode, !unicode_);
      case U'S':
        return SpaceSet(unicode, !unicode_).Complement();
      case U'p':
      case U'P': {
        std::string name;
        if (Accept(U'{')) {
          while (!AtEnd() && Peek() != U'}') name += static_cast<char>(text_[pos_++]);
          if (!Accept(U'}')) Fail(ErrorCode::kInvalid, "\\p{ has no '}'");
        } else {
          name = EncodeUtf8(text_.substr(pos_++, 1));
        }
        bool negated = c == U'P';
        if (name.starts_with('^')) {
          negated = !negated;
          name.erase(0, 1);
        }
        const auto set = UnicodeProperty(name);
        if (!set) Fail(ErrorCode::kUnsupported, "unknown Unicode property '" + name + "'");
        return negated ? set->Complement() : *set;
      }
      case U'n':
        return CodePointSet::One('\n');
      case U'r':
        return CodePointSet::One('\r');
      case U't':
        return CodePointSet::One('\t');
      case U'f':
        return CodePointSet::One('\f');
      case U'v':
        return CodePointSet::One('\v');
      case U'a':
        if (unicode_) return CodePointSet::One('\a');
        return {};
      case U'0':
        if (Peek() >= U'0' && Peek() <= U'9') return {};
        return CodePointSet::One(0);
      case U'x':
        if (unicode_ && Accept(U'{')) return CodePointSet::One(ParseBracedHex());
        return CodePointSet::One(ParseHex(2));
      case U'u': {
        if (Accept(U'{')) return CodePointSet::One(ParseBracedHex());
        uint32_t value = ParseHex(4);
        if (value >= 0xD800 && value < 0xDC00 && AcceptText(U"\\u")) {
          const uint32_t low = ParseHex(4);
          if (low >= 0xDC00 && low < 0xE000) {
            value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
          }
        }
        if (value >= kSurrogateFirst && value <= kSurrogateLast) {
          Fail(ErrorCode::kUnsupported, "a lone surrogate never occurs in text");
        }
        return CodePointSet::One(value);
      }
      case U'U':
        if (unicode_) return CodePointSet::One(ParseHex(8));
        return {};
      case U'c':
        if (!unicode_ && ((Peek() | 32) >= U'a' && (Peek() | 32) <= U'z')) {
          return CodePointSet::One(text_[pos_++] & 31);
        }
        return {};
      case U'b':
        if (in_class) return CodePointSet::One('\b');
        return {};
      default:
        break;
    }
    const bool alphanumeric = (c >= U'0' && c <= U'9') || ((c | 32) >= U'a' && (c | 32) <= U'z');
    if (alphanumeric) return {};
    return CodePointSet::One(c);
  }

  Anchored ParseEscape() {
    if (AtEnd()) Fail(ErrorCode::kInvalid, "the pattern ends in a backslash");
    const char32_t c = Peek();
    if (unicode_ && (c == U'A' || c == U'z' || c == U'Z')) {
      ++pos_;
      Anchored result;
      (c == U'A' ? result.at[1][0] : result.at[0][1]) = kEpsilon;
      return result;
    }
    if (c == U'b' || c == U'B') {
      Fail(ErrorCode::kUnsupported,
           "word boundaries are not supported: write the characters that may stand there");
    }
    if ((c >= U'1' && c <= U'9') || c == U'k') {
      Fail(ErrorCode::kUnsupported, "back-references are not regular");
    }
    const auto set = ParseClassEscape(false);
    if (!set) Fail(ErrorCode::kInvalid, "unknown escape \\" + EncodeUtf8(std::u32string(1, c)));
    return Class(*set);
  }

  // After '['.
  CodePointSet ParseClass(int depth) {
    if (depth > limits_.depth_max) Fail(ErrorCode::kExhausted, "classes nest too deep");
    const bool negated = Accept(U'^');
    CodePointSet set;
    std::vector<CodePointRange> ranges;
    bool first = true;
    const auto flush = [&] {
      set = set.Union(CodePointSet(std::move(ranges)));
      ranges.clear();
    };
    while (true) {
      if (AtEnd()) {
        Fail(ErrorCode::kInvalid, nested_class_
                                      ? "a class has no ']': '[' in a class begins a class in it; "
                                        "write \\[ for the character"
                                      : "a class has no ']'");
      }
      if (Peek() == U']' && !(first && unicode_)) {
        ++pos_;
        break;
      }
      if (unicode_ && flags_.extended && SkipExtended()) continue;
      if (unicode_ && (AcceptText(U"&&") || AcceptText(U"--"))) {
        const bool minus = text_[pos_ - 1] == U'-';
        flush();
        const size_t at = pos_;
        CodePointSet rest = ParseClass(depth + 1);  // to the end of this class
        if (at < text_.size() && text_[at] == U'^') Fail(ErrorCode::kInvalid, "'^' after && or --");
        set = set.Intersect(minus ? rest.Complement() : rest);
        if (flags_.ignore_case) set = FoldCase(set);
        return negated ? set.Complement() : set;
      }
      first = false;
      if (unicode_ && Peek() == U'[') {
        ++pos_;
        if (Peek() == U':') {
          const size_t end = text_.find(U":]", pos_);
          if (end != std::u32string::npos) {
            std::string name = EncodeUtf8(text_.substr(pos_ + 1, end - pos_ - 1));
            const bool not_in = name.starts_with('^');
            if (not_in) name.erase(0, 1);
            if (const auto posix = PosixClass(name)) {
              pos_ = end + 2;
              set = set.Union(not_in ? posix->Complement() : *posix);
              continue;
            }
          }
        }
        nested_class_ = true;
        set = set.Union(ParseClass(depth + 1));
        continue;
      }
      const CodePointSet low = ParseClassMember();
      if (Peek() == U'-' && Peek(1) != U']' && pos_ + 1 < text_.size() && IsOne(low) &&
          !(unicode_ && Peek(1) == U'-')) {
        ++pos_;
        const CodePointSet high = ParseClassMember();
        if (IsOne(high)) {
          const CodePointRange range{low.ranges()[0].first, high.ranges()[0].first};
          if (range.first > range.last) Fail(ErrorCode::kInvalid, "a class range is out of order");
          ranges.push_back(range);
          continue;
        }
        ranges.push_back({'-', '-'});
        set = set.Union(high);
      }
      for (const CodePointRange& range : low.ranges()) ranges.push_back(range);
    }
    flush();
    set = set.Intersect(CodePointSet::Any());
    if (flags_.ignore_case) set = FoldCase(set);
    return negated ? set.Complement() : set;
  }

  static bool IsOne(const CodePointSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
  }

  CodePointSet ParseClassMember() {
    if (!Accept(U'\\')) return CodePointSet::One(text_[pos_++]);
    if (AtEnd()) Fail(ErrorCode::kInvalid, "the pattern ends in a backslash");
    const auto set = ParseClassEscape(true);
    if (!set) Fail(ErrorCode::kInvalid, "unknown escape in a class");
    return *set;
  }

  std::u32string text_;
  size_t pos_ = 0;
  bool unicode_;
  bool is_token_;
  bool search_;  // any text may stand before and after, where no anchor forbids it
  size_t num_aheads_ = 0;
  bool nested_class_ = false;
  bool multi_line_ = false;
  Flags flags_;
  const Limits& limits_;
  RegexPool* pool_;
  Anchors anchors_{pool_};
};

}  // namespace

Regex ParseRegex(std::string_view pattern, RegexDialect dialect, bool search, const Limits& limits,
                 RegexPool* pool) {
  if (pattern.size() > limits.text_bytes_max) {
    Throw(ErrorCode::kExhausted, "at character 1: the pattern is longer than {} bytes",
          limits.text_bytes_max);
  }
  const Anchored parts = Parser(pattern, dialect, search, limits, pool).Parse();
  if (!search) {
    return pool->Or({parts.at[0][0], parts.at[0][1], parts.at[1][0], parts.at[1][1]});
  }
  return pool->Or({pool->Cat({kEverything, parts.at[0][0], kEverything}),
                   pool->Cat(kEverything, parts.at[0][1]), pool->Cat(parts.at[1][0], kEverything),
                   parts.at[1][1]});
}

}  // namespace retort::grammar
