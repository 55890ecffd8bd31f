#include "retort/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "retort/base/error.h"
#include "retort/tokenizer/utf8.h"

namespace retort {
namespace {

// A search first sees so many bytes of the text, and may take so many steps from one place in it:
// few words need more.
constexpr size_t kWindowBytes = 64;
constexpr uint32_t kWindowSteps = 64;
// Steps may each run over the window, but in a search that finds a word hardly any does.
constexpr uint64_t kLooksPerWindow = 16;

constexpr uint32_t kMatchHeapKib = 64 * 1024;
constexpr uint32_t kMatchDepthMax = 2'000'000;
constexpr size_t kJitStackBytesMax = 64 << 20;

// The shorthands as members of a character class, with the meaning they have in the engines that
// tokenizer files are written for (Oniguruma). PCRE2's own \s also takes U+180E; its \w takes all
// of \p{N} and no marks; its \h is a blank. The Latin-1 fractions and superscripts are Oniguruma's.
constexpr std::string_view kSpaceMembers =
    "\\t-\\r\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
    "\\x{3000}";
constexpr std::string_view kWordMembers =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
constexpr std::string_view kHexMembers = "0-9A-Fa-f";

// Members of \s, \S, \w, \W, \h or \H, or nothing for another escape.
std::string_view MembersOf(char escaped) {
  if (escaped == 's' || escaped == 'S') return kSpaceMembers;
  if (escaped == 'w' || escaped == 'W') return kWordMembers;
  if (escaped == 'h' || escaped == 'H') return kHexMembers;
  return {};
}

bool IsNegated(char escaped) { return escaped >= 'A' && escaped <= 'Z'; }

// Writes a pattern of Oniguruma as one of PCRE2, where they differ: the shorthands, a repetition
// {,n}, classes in classes and their intersections.
class PcrePattern {
 public:
  PcrePattern(std::string_view pattern, std::string_view origin)
      : pattern_(pattern), origin_(origin) {}

  std::string Take() && {
    std::string out;
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\' && at_ + 1 < pattern_.size()) {
        Shorthand(out);
      } else if (c == '[') {
        out += Written(Class(0));
      } else if (c == '{' && IsUpToRepetition()) {
        out += "{0";
        ++at_;
      } else {
        out += c;
        ++at_;
      }
    }
    return out;
  }

 private:
  // Outside of classes.
  void Shorthand(std::string& out) {
    const char escaped = pattern_[at_ + 1];
    const std::string_view members = MembersOf(escaped);
    if (members.empty()) {
      out += pattern_.substr(at_, 2);
    } else {
      out += IsNegated(escaped) ? "[^" : "[";
      out += members;
      out += ']';
    }
    at_ += 2;
  }

  bool IsUpToRepetition() const {
    size_t end = at_ + 1;
    if (end >= pattern_.size() || pattern_[end] != ',') return false;
    for (++end; end < pattern_.size() && pattern_[end] >= '0' && pattern_[end] <= '9';) ++end;
    return end > at_ + 2 && end < pattern_.size() && pattern_[end] == '}';
  }

  // Classes are alternatives of one another, and so are the members.
  struct Operand {
    std::string members;
    std::vector<std::string> classes;
    bool after_class = false;

    std::string Written() && {
      if (!members.empty()) classes.push_back("[" + members + "]");
      if (classes.empty()) return "(?!)";  // an empty class matches nothing
      std::string out = classes.front();
      for (size_t i = 1; i < classes.size(); ++i) out += "|" + classes[i];
      return classes.size() == 1 ? out : "(?:" + out + ")";
    }
  };

  struct ParsedClass {
    bool negated = false;
    std::vector<Operand> operands;  // what stands between the &&: one at least

    bool IsList() const { return operands.size() == 1 && operands[0].classes.empty(); }
  };

  // Something that matches one character.
  static std::string Written(ParsedClass parsed) {
    if (parsed.IsList()) {
      return (parsed.negated ? "[^" : "[") + parsed.operands[0].members + "]";
    }
    std::string all;
    for (size_t i = 0; i + 1 < parsed.operands.size(); ++i) {
      all += "(?=" + std::move(parsed.operands[i]).Written() + ")";
    }
    all += std::move(parsed.operands.back()).Written();
    return parsed.negated ? "(?:(?!" + all + ")(?s:.))" : "(?:" + all + ")";
  }

  ParsedClass Class(int depth) {
    if (depth > kClassDepthMax) {
      Throw(ErrorCode::kInvalid, "{}: classes are nested deeper than {} levels", origin_,
            kClassDepthMax);
    }
    const size_t begin = at_++;
    ParsedClass parsed;
    parsed.negated = at_ < pattern_.size() && pattern_[at_] == '^';
    if (parsed.negated) ++at_;
    Operand operand;
    if (at_ < pattern_.size() && pattern_[at_] == ']') {  // one that comes first is a member
      operand.members += "\\]";
      ++at_;
    }
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      if (pattern_.substr(at_, 2) == "&&") {
        at_ += 2;
        parsed.operands.push_back(std::move(operand));
        operand = {};
      } else {
        Member(operand, depth);
      }
    }
    if (at_ >= pattern_.size()) {
      Throw(ErrorCode::kInvalid, "{}: pattern \"{}\": the class at byte {} has no ']'", origin_,
            pattern_.substr(0, 200), begin);
    }
    ++at_;
    parsed.operands.push_back(std::move(operand));
    return parsed;
  }

  void Member(Operand& operand, int depth) {
    const char c = pattern_[at_];
    const bool after_class = std::exchange(operand.after_class, c == '[');
    if (c == '\\' && at_ + 1 < pattern_.size()) {
      const char escaped = pattern_[at_ + 1];
      const std::string_view members = MembersOf(escaped);
      if (members.empty()) {
        operand.members += pattern_.substr(at_, 2);
      } else if (IsNegated(escaped)) {
        operand.classes.push_back("[^" + std::string(members) + "]");
      } else {
        operand.members += members;
      }
      at_ += 2;
    } else if (pattern_.substr(at_, 2) == "[:") {
      const size_t end = std::min(pattern_.find(":]", at_), pattern_.size() - 2) + 2;
      operand.members += pattern_.substr(at_, end - at_);
      at_ = end;
    } else if (c == '[') {
      ParsedClass inner = Class(depth + 1);
      if (inner.IsList() && !inner.negated) {
        operand.members += inner.operands[0].members;
      } else {
        operand.classes.push_back(Written(std::move(inner)));
      }
    } else {
      // Beside a class '-' makes no range, and must make none when the classes are joined.
      const std::string_view rest = pattern_.substr(at_ + 1);
      const bool before_class = rest.starts_with('[') || rest.starts_with(']') ||
                                rest.starts_with("&&") || operand.members.empty();
      if (c == '-' && (after_class || before_class)) operand.members += '\\';
      operand.members += c;
      ++at_;
    }
  }

  static constexpr int kClassDepthMax = 16;

  std::string_view pattern_;
  std::string_view origin_;
  size_t at_ = 0;
};

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

constexpr std::string_view kBracedEscapes = "xopPNgk";

// The largest count in braces: an item that is repeated so often looks at as many characters before
// it fails.
uint64_t LargestCount(std::string_view pattern) {
  uint64_t largest = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      ++i;
      // These have braces of their own: \x{3000}.
      const bool has_braces = i + 1 < pattern.size() && pattern[i + 1] == '{' &&
                              kBracedEscapes.find(pattern[i]) != std::string_view::npos;
      if (has_braces) i = std::min(pattern.find('}', i), pattern.size());
    } else if (c == '{' || c == ',') {
      uint64_t count = 0;
      const std::string_view rest = pattern.substr(i + 1);
      std::from_chars(rest.data(), rest.data() + rest.size(), count);
      largest = std::max(largest, count);
    }
  }
  return largest;
}

pcre2_code* Compile(std::string_view pattern, uint32_t options, int* error, size_t* offset) {
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | options,
                    error, offset, nullptr);
  // Without JIT (a kernel that forbids it) matching is slower, and right all the same.
  if (code != nullptr) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  return code;
}

pcre2_match_context* NewMatchContext(uint32_t steps) {
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(context, steps);
  pcre2_set_depth_limit(context, kMatchDepthMax);
  pcre2_set_heap_limit(context, kMatchHeapKib);
  return context;
}

// Counts how much a search that reports its items has looked at.
struct Looks {
  uint64_t per_item;    // at least
  bool has_references;  // an item may compare all of the match before it
  uint64_t left;
  size_t at = 0;  // where the last report was
};

int Report(pcre2_callout_block* block, void* data) {
  Looks& looks = *static_cast<Looks*>(data);
  const size_t at = block->current_position;
  uint64_t cost = looks.per_item + (at > looks.at ? at - looks.at : 0);
  if (looks.has_references && at > block->start_match) cost += at - block->start_match;
  looks.at = at;
  if (cost > looks.left) {
    looks.left = 0;
    return PCRE2_ERROR_CALLOUT;
  }
  looks.left -= cost;
  return 0;
}

}  // namespace

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;  // only read
  std::string origin;
  std::string spelt;
  uint64_t looks_per_item = 1;
  bool has_references = false;
  mutable std::once_flag reporting_once;
  mutable pcre2_code* reporting = nullptr;

  ~Compiled() {
    pcre2_code_free(code);
    pcre2_code_free(reporting);
    pcre2_match_context_free(context);
  }

  // The form that reports its items, compiled when it is first needed.
  const pcre2_code* Reporting() const {
    std::call_once(reporting_once, [&] {
      int error = 0;
      size_t offset = 0;
      reporting = Compile(spelt, PCRE2_AUTO_CALLOUT | PCRE2_NO_START_OPTIMIZE, &error, &offset);
      if (reporting == nullptr) {
        Throw(ErrorCode::kInvalid, "{}: the pattern does not compile with reports: {}", origin,
              ErrorText(error));
      }
    });
    return reporting;
  }
};

Regex::Regex(std::string_view pattern, std::string_view origin) {
  if (pattern.size() > kPatternBytesMax) {
    Throw(ErrorCode::kInvalid, "{}: pattern of {} bytes, at most {} are taken", origin,
          pattern.size(), kPatternBytesMax);
  }
  auto compiled = std::make_unique<Compiled>();
  compiled->origin = origin;
  compiled->spelt = PcrePattern(pattern, origin).Take();
  int code = 0;
  size_t offset = 0;
  compiled->code = Compile(compiled->spelt, 0, &code, &offset);
  if (compiled->code == nullptr) {
    Throw(ErrorCode::kInvalid, "{}: pattern \"{}\" does not compile: {} (near byte {})", origin,
          pattern.substr(0, 200), ErrorText(code), offset);
  }
  compiled->context = NewMatchContext(kWindowSteps);
  compiled->looks_per_item = 1 + LargestCount(pattern);
  uint32_t references = 0;
  pcre2_pattern_info(compiled->code, PCRE2_INFO_BACKREFMAX, &references);
  compiled->has_references = references > 0;
  compiled_ = std::move(compiled);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::string Regex::Escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const bool plain =
        byte >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (plain) {
      out += c;
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

struct RegexMatches::Workspace {
  pcre2_match_data* match = nullptr;
  // A search that reports has a JIT stack of its own, because the default one may be short.
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;

  ~Workspace() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

RegexMatches::RegexMatches(const Regex& regex, std::string_view text, WorkBudget* budget)
    : regex_(regex.compiled()),
      text_(text),
      budget_(budget),
      workspace_(std::make_unique<Workspace>()) {
  workspace_->match = pcre2_match_data_create(1, nullptr);
  if (workspace_->match == nullptr) throw std::bad_alloc();
}

RegexMatches::~RegexMatches() = default;

int RegexMatches::Match() {
  for (size_t from = at_;;) {
    size_t end = text_.size();
    if (kWindowBytes < end - from) {
      end = from + kWindowBytes;
      while ((static_cast<uint8_t>(text_[end]) & 0xC0) == 0x80) ++end;  // whole characters
    }
    const bool is_all = end == text_.size();
    budget_->Look(kLooksPerWindow);
    const int code = pcre2_match(regex_.code, reinterpret_cast<PCRE2_SPTR>(text_.data()), end, from,
                                 PCRE2_NO_UTF_CHECK | (is_all ? 0u : PCRE2_PARTIAL_HARD),
                                 workspace_->match, regex_.context);
    if (code == PCRE2_ERROR_NOMATCH && !is_all) {
      from = end;  // no match begins before
    } else if (code == PCRE2_ERROR_PARTIAL || code == PCRE2_ERROR_MATCHLIMIT ||
               code == PCRE2_ERROR_JIT_STACKLIMIT) {
      return CountedMatch(from);
    } else {
      return code;
    }
  }
}

int RegexMatches::CountedMatch(size_t from) {
  if (workspace_->context == nullptr) {
    workspace_->context = NewMatchContext(std::numeric_limits<uint32_t>::max());
    workspace_->stack = pcre2_jit_stack_create(64 << 10, kJitStackBytesMax, nullptr);
    pcre2_jit_stack_assign(workspace_->context, nullptr, workspace_->stack);
  }
  Looks looks{.per_item = regex_.looks_per_item,
              .has_references = regex_.has_references,
              .left = budget_->looks_left(),
              .at = from};
  pcre2_set_callout(workspace_->context, Report, &looks);
  const int code =
      pcre2_match(regex_.Reporting(), reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(),
                  from, PCRE2_NO_UTF_CHECK, workspace_->match, workspace_->context);
  budget_->Look(budget_->looks_left() - looks.left + (code == PCRE2_ERROR_CALLOUT ? 1 : 0));
  return code;
}

bool RegexMatches::Next(size_t* begin, size_t* end) {
  while (at_ <= text_.size()) {
    const int code = Match();
    if (code == PCRE2_ERROR_NOMATCH) return false;
    if (code < 0) {
      Throw(ErrorCode::kInvalid, "{}: the pattern gives up on this text at byte {} of {}: {}",
            regex_.origin, at_, text_.size(), ErrorText(code));
    }
    const size_t* range = pcre2_get_ovector_pointer(workspace_->match);
    // \K can make a match begin after its end, or before the place where the search began.
    if (range[0] >= at_ && range[1] > range[0]) {
      *begin = range[0];
      *end = at_ = range[1];
      return true;
    }
    const size_t from = std::max(at_, range[1]);
    if (from >= text_.size()) return false;
    at_ = from + Utf8Length(text_[from]);
  }
  return false;
}

}  // namespace retort
