#include "retort/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "retort/base/error.h"
#include "retort/tokenizer/tokenizer.h"
#include "retort/tokenizer/utf8.h"

namespace retort {
namespace {

// What a search sees of the text at first: few words are longer.
constexpr size_t kFirstWindowBytes = 64;
// The steps it is allowed, more after each time that they were too few.
constexpr std::array<uint32_t, 6> kStepsAllowed = {64, 512, 4096, 32'768, 262'144, kRegexStepsMax};

constexpr uint32_t kMatchHeapKib = 64 * 1024;
constexpr size_t kJitStackBytesMax = 8 << 20;

// The shorthands as members of a character class, with the meaning they have in the engines that
// tokenizer files are written for. PCRE2's own \s also takes U+180E; its \w takes all of \p{N} and
// no marks. The Latin-1 fractions and superscripts are Oniguruma's.
constexpr std::string_view kSpaceMembers =
    "\\t-\\r\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
    "\\x{3000}";
constexpr std::string_view kWordMembers =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

// Members of \s, \S, \w or \W, or nothing for another escape.
std::string_view MembersOf(char escaped) {
  if (escaped == 's' || escaped == 'S') return kSpaceMembers;
  if (escaped == 'w' || escaped == 'W') return kWordMembers;
  return {};
}

// Spells out \s and \w, and outside classes \S and \W (inside one they cannot be spelt).
std::string SpellOutShorthands(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      const std::string_view members = MembersOf(escaped);
      const bool negated = escaped == 'S' || escaped == 'W';
      if (members.empty() || (in_class && negated)) {
        out += c;
        out += escaped;
      } else if (in_class) {
        out += members;
      } else {
        out += negated ? "[^" : "[";
        out += members;
        out += ']';
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      // A ']' that comes first is a member.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];
      continue;
    }
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

pcre2_match_context* NewMatchContext(uint32_t steps) {
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(context, steps);
  pcre2_set_depth_limit(context, kRegexStepsMax);
  pcre2_set_heap_limit(context, kMatchHeapKib);
  return context;
}

}  // namespace

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  std::array<pcre2_match_context*, kStepsAllowed.size()> contexts{};  // read only when made
  std::string origin;

  ~Compiled() {
    pcre2_code_free(code);
    for (pcre2_match_context* context : contexts) pcre2_match_context_free(context);
  }
};

Regex::Regex(std::string_view pattern, std::string_view origin) {
  if (pattern.size() > kPatternBytesMax) {
    Throw(ErrorCode::kInvalid, "{}: pattern of {} bytes, at most {} are taken", origin,
          pattern.size(), kPatternBytesMax);
  }
  auto compiled = std::make_unique<Compiled>();
  compiled->origin = origin;
  const std::string spelt = SpellOutShorthands(pattern);
  int code = 0;
  size_t offset = 0;
  compiled->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelt.data()), spelt.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr);
  if (compiled->code == nullptr) {
    Throw(ErrorCode::kInvalid, "{}: pattern \"{}\" does not compile: {} (near byte {})", origin,
          pattern.substr(0, 200), ErrorText(code), offset);
  }
  // Without JIT (a kernel that forbids it) matching is slower, and right all the same.
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  for (size_t i = 0; i < kStepsAllowed.size(); ++i) {
    compiled->contexts[i] = NewMatchContext(kStepsAllowed[i]);
  }
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
  // With a JIT stack of its own; made when the default one is short.
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
  size_t from = at_;
  size_t window = kFirstWindowBytes;
  size_t allowed = 0;
  while (true) {
    size_t end = text_.size();
    if (window < end - from) {
      end = from + window;
      while ((static_cast<uint8_t>(text_[end]) & 0xC0) == 0x80) ++end;  // whole characters
    }
    const bool is_all = end == text_.size();
    const uint32_t steps = kStepsAllowed[allowed];
    if (workspace_->context != nullptr) pcre2_set_match_limit(workspace_->context, steps);
    budget_->Look(static_cast<uint64_t>(steps) * (end - from + 1));
    const int code = pcre2_match(
        regex_.code, reinterpret_cast<PCRE2_SPTR>(text_.data()), end, from,
        PCRE2_NO_UTF_CHECK | (is_all ? 0u : PCRE2_PARTIAL_HARD), workspace_->match,
        workspace_->context != nullptr ? workspace_->context : regex_.contexts[allowed]);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT && workspace_->context == nullptr) {
      workspace_->context = NewMatchContext(steps);
      workspace_->stack = pcre2_jit_stack_create(64 << 10, kJitStackBytesMax, nullptr);
      pcre2_jit_stack_assign(workspace_->context, nullptr, workspace_->stack);
    } else if (code == PCRE2_ERROR_MATCHLIMIT && steps < kRegexStepsMax) {
      ++allowed;
    } else if (code == PCRE2_ERROR_PARTIAL) {
      window *= 2;
    } else if (code == PCRE2_ERROR_NOMATCH && !is_all) {
      from = end;  // no match begins before
      window = kFirstWindowBytes;
    } else {
      return code;
    }
  }
}

bool RegexMatches::Next(size_t* begin, size_t* end) {
  while (at_ <= text_.size()) {
    const int code = Match();
    if (code == PCRE2_ERROR_NOMATCH) return false;
    if (code < 0) {
      Throw(ErrorCode::kInvalid,
            "{}: the pattern gives up on this text at byte {} of {}: {} (bound: {} steps)",
            regex_.origin, at_, text_.size(), ErrorText(code), kRegexStepsMax);
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
