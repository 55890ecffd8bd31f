#include "retort/grammar/unicode_classes.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace retort::grammar {
namespace {

struct CategoryName {
  std::string_view name;
  std::string_view prefix;  // of the two-letter category
};

constexpr CategoryName kCategories[] = {
    {"letter", "L"},
    {"casedletter", "L&"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"combiningmark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"digit", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"punctuation", "P"},
    {"punct", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"cntrl", "Cc"},
    {"format", "Cf"},
    {"privateuse", "Co"},
    {"unassigned", "Cn"},
    {"surrogate", "Cs"},
};

std::string Plain(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c == '_' || c == ' ' || c == '-') continue;
    plain += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return plain;
}

template <typename Predicate>
CodePointSet Collect(Predicate contains) {
  std::vector<CodePointRange> ranges;
  for (uint32_t c = 0; c <= kCodePointMax; ++c) {
    if (c == kSurrogateFirst) c = kSurrogateLast + 1;
    if (!contains(c)) continue;
    if (!ranges.empty() && ranges.back().last + 1 == c) {
      ranges.back().last = c;
    } else {
      ranges.push_back({c, c});
    }
  }
  return CodePointSet(std::move(ranges));
}

CodePointSet Category(std::string_view prefix) {
  if (prefix == "L&") {
    return Category("Lu").Union(Category("Ll")).Union(Category("Lt"));
  }
  return Collect([&](uint32_t c) {
    const char* name = utf8proc_category_string(static_cast<utf8proc_int32_t>(c));
    return name[0] == prefix[0] && (prefix.size() == 1 || name[1] == prefix[1]);
  });
}

// What PCRE2 knows as \p{name}: scripts and binary properties.
std::optional<CodePointSet> FromPcre(std::string_view name) {
  for (const char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-')) return {};
  }
  const std::string pattern = "\\p{" + std::string(name) + "}";
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_ANCHORED, &error, &offset, nullptr),
      pcre2_code_free);
  if (code == nullptr) return {};
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  return Collect([&](uint32_t c) {
    std::array<utf8proc_uint8_t, 4> bytes;
    const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes.data());
    return pcre2_match(code.get(), bytes.data(), static_cast<PCRE2_SIZE>(size), 0,
                       PCRE2_NO_UTF_CHECK, match.get(), nullptr) >= 0;
  });
}

}  // namespace

std::optional<CodePointSet> UnicodeProperty(std::string_view name) {
  if (const size_t equals = name.find_first_of("=:"); equals != std::string_view::npos) {
    const std::string key = Plain(name.substr(0, equals));
    name.remove_prefix(equals + 1);
    if (key == "script" || key == "sc" || key == "scriptextensions" || key == "scx") {
      return FromPcre(name);
    }
    if (key != "generalcategory" && key != "gc") return {};
  }
  const std::string plain = Plain(name);
  if (plain == "any") return CodePointSet::Any();
  if (plain == "ascii") return CodePointSet{{0, 0x7F}};
  if (plain == "assigned") return Category("Cn").Complement();
  if (plain == "l&" || plain == "lc") return Category("L&");
  for (const CategoryName& category : kCategories) {
    if (category.name == plain) return Category(category.prefix);
  }
  if (plain.size() <= 2 && !plain.empty()) {
    for (const CategoryName& category : kCategories) {
      if (Plain(category.prefix) == plain) return Category(category.prefix);
    }
    return {};
  }
  return FromPcre(name);
}

CodePointSet DigitSet(bool unicode) { return unicode ? Category("Nd") : CodePointSet{{'0', '9'}}; }

CodePointSet WordSet(bool unicode) {
  CodePointSet ascii{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  if (!unicode) return ascii;
  CodePointSet set = Category("M").Union(Category("Nd")).Union(Category("Pc"));
  set = set.Union(CodePointSet{{0x200C, 0x200D}});
  const auto alphabetic = FromPcre("Alphabetic");
  return set.Union(alphabetic ? *alphabetic : Category("L").Union(Category("Nl")));
}

CodePointSet SpaceSet(bool unicode, bool ecma) {
  CodePointSet ascii{{'\t', '\r'}, {' ', ' '}};
  if (!unicode && !ecma) return ascii;
  const CodePointSet wide = ascii.Union(CodePointSet{{0xA0, 0xA0},
                                                     {0x1680, 0x1680},
                                                     {0x2000, 0x200A},
                                                     {0x2028, 0x2029},
                                                     {0x202F, 0x202F},
                                                     {0x205F, 0x205F},
                                                     {0x3000, 0x3000}});
  return wide.Union(CodePointSet::One(ecma ? 0xFEFF : 0x85));
}

std::optional<CodePointSet> PosixClass(std::string_view name) {
  const CodePointSet alpha{{'A', 'Z'}, {'a', 'z'}};
  const CodePointSet digit{{'0', '9'}};
  if (name == "alpha") return alpha;
  if (name == "digit") return digit;
  if (name == "alnum") return alpha.Union(digit);
  if (name == "ascii") return CodePointSet{{0, 0x7F}};
  if (name == "blank") return CodePointSet{{'\t', '\t'}, {' ', ' '}};
  if (name == "cntrl") return CodePointSet{{0, 0x1F}, {0x7F, 0x7F}};
  if (name == "graph") return CodePointSet{{'!', '~'}};
  if (name == "lower") return CodePointSet{{'a', 'z'}};
  if (name == "print") return CodePointSet{{' ', '~'}};
  if (name == "punct") return CodePointSet{{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}};
  if (name == "space") return CodePointSet{{'\t', '\r'}, {' ', ' '}};
  if (name == "upper") return CodePointSet{{'A', 'Z'}};
  if (name == "word") return WordSet(false);
  if (name == "xdigit") return CodePointSet{{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
  return {};
}

CodePointSet FoldCase(const CodePointSet& set) {
  std::vector<CodePointRange> ranges = set.ranges();
  const auto fold = [](uint32_t c) {
    // Simple folding: through upper case, so that sigma's two lower-case forms meet.
    return static_cast<uint32_t>(
        utf8proc_tolower(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  };
  // Scripts with case lie below U+1E944 and few are large; complements are left to the caller.
  std::vector<std::pair<uint32_t, uint32_t>> folded;
  for (uint32_t c = 0; c < 0x1E960; ++c) {
    if (c == kSurrogateFirst) c = kSurrogateLast + 1;
    const uint32_t f = fold(c);
    if (f != c) folded.push_back({f, c});
  }
  std::sort(folded.begin(), folded.end());
  const auto variants = [&](uint32_t f) {
    ranges.push_back({f, f});
    for (auto it = std::lower_bound(folded.begin(), folded.end(), std::pair{f, uint32_t{0}});
         it != folded.end() && it->first == f; ++it) {
      ranges.push_back({it->second, it->second});
    }
  };
  for (const auto& [f, c] : folded) {
    if (set.Contains(c) || set.Contains(f)) variants(f);
  }
  return CodePointSet(std::move(ranges));
}

}  // namespace retort::grammar
