#include "retort/grammar/lexer.h"

#include <algorithm>

#include "retort/base/error.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

// Of Mode::kJson: how much whitespace was read, or one of these.
constexpr uint32_t kNoWhitespace = 0xFF;
constexpr uint32_t kColonFirst = 0xFE;
constexpr uint32_t kCommaFirst = 0xFD;
// Spelling::kPlain writes these as themselves.
constexpr uint32_t kPlainFirst = 0x20;
constexpr uint32_t kPlainLast = 0x7F;
constexpr size_t kRangesInListMax = 4;  // beyond, a table of 256 is faster
constexpr uint8_t kStepsBeforeTable = 24;
// In `aux` of the states within a character: whatever the character, it leads to `r`. Otherwise `r`
// is the language before it.
constexpr uint32_t kUniform = 1u << 31;

uint64_t Mix(uint64_t x) {
  x ^= x >> 31;
  x *= 0x7fb5d329728ea185ULL;
  x ^= x >> 27;
  x *= 0x81dadef4bc2dd44dULL;
  return x ^ (x >> 33);
}

void Add(std::vector<ByteRange>* out, uint32_t first, uint32_t last, LexState target) {
  if (target == kDeadState) return;
  if (!out->empty() && out->back().target == target && out->back().last + 1u == first) {
    out->back().last = static_cast<uint8_t>(last);
  } else {
    out->push_back({static_cast<uint8_t>(first), static_cast<uint8_t>(last), target});
  }
}

int HexDigit(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

template <typename Target>
void AddHexDigits(std::vector<ByteRange>* out, Target target) {
  using Range = std::pair<uint8_t, uint8_t>;
  for (const auto& [first, last] : {Range{'0', '9'}, {'A', 'F'}, {'a', 'f'}}) {
    for (uint8_t byte = first; byte <= last; ++byte) {
      Add(out, byte, byte, target(byte));
    }
  }
}

// Among bytes that lead to the same state, the one that reads best.
char Representative(const ByteRange& range) {
  for (const uint8_t byte : {uint8_t{'a'}, uint8_t{'0'}, uint8_t{' '}}) {
    if (range.first <= byte && byte <= range.last) return static_cast<char>(byte);
  }
  return static_cast<char>(range.first);
}

// The shortest spelling of one of the code points first..last, in a JSON string or as itself; empty
// if there are only surrogates.
std::string CheapestText(uint32_t first, uint32_t last, bool in_string) {
  struct Group {
    uint32_t first;
    uint32_t last;
  };
  // From one byte to four, those in front that read best.
  static constexpr Group kGroups[] = {{'a', 'a'},
                                      {'0', '0'},
                                      {' ', ' '},
                                      {0x21, 0x21},
                                      {0x23, 0x5B},
                                      {0x5D, 0x7F},
                                      {'"', '"'},
                                      {'\\', '\\'},
                                      {'\n', '\n'},
                                      {'\t', '\t'},
                                      {'\r', '\r'},
                                      {'\b', '\b'},
                                      {'\f', '\f'},
                                      {0x80, 0x7FF},
                                      {0x800, kSurrogateFirst - 1},
                                      {kSurrogateLast + 1, 0xFFFF},
                                      {0x10000, kCodePointMax},
                                      {0, 0x1F}};
  for (const Group& group : kGroups) {
    // Outside of strings a control character is as short as any of ASCII.
    if (!in_string && group.first == 0x80 && first < 0x20) {
      return std::string(1, static_cast<char>(first));
    }
    const uint32_t c = std::max(first, group.first);
    if (c > std::min(last, group.last)) continue;
    const std::string itself = EncodeUtf8(std::u32string(1, static_cast<char32_t>(c)));
    if (!in_string || (c >= 0x20 && c != '"' && c != '\\')) return itself;
    constexpr std::string_view kShort = "\"\\\n\t\r\b\f";
    const size_t at = kShort.find(static_cast<char>(c));
    return at != kShort.npos ? std::string("\\") + "\"\\ntrbf"[at] : fmt::format("\\u{:04x}", c);
  }
  return "";
}

}  // namespace

Lexer::Lexer(RegexPool* pool, const Limits& limits, Spelling spelling)
    : pool_(pool), limits_(limits), spelling_(spelling) {
  states_.emplace_back();
  states_[0].ranges_begin = 0;
}

LexState Lexer::Make(Mode mode, Regex r, uint32_t aux, Regex s) {
  const auto [it, is_new] = index_.try_emplace(Key{mode, r, s, aux}, 0);
  if (!is_new) return it->second;
  if (states_.size() >= limits_.lexer_states_max) {
    index_.erase(it);
    Throw(ErrorCode::kExhausted, "the grammar needs more than {} lexer states",
          limits_.lexer_states_max);
  }
  State state;
  state.mode = mode;
  state.r = r;
  state.s = s;
  state.aux = aux;
  scratch_labels_.clear();
  if (mode == Mode::kBytes || mode == Mode::kText || mode == Mode::kDone) {
    pool_->Labels(r, &scratch_labels_);
  }
  state.labels_begin = static_cast<uint32_t>(labels_.size());
  state.num_labels = static_cast<uint32_t>(scratch_labels_.size());
  labels_.insert(labels_.end(), scratch_labels_.begin(), scratch_labels_.end());
  const StructureHash a = pool_->HashOf(r);
  const StructureHash b = pool_->HashOf(s);
  const uint64_t own =
      uint64_t{aux} << 9 | static_cast<uint64_t>(spelling_) << 8 | static_cast<uint8_t>(mode);
  if (mode == Mode::kDone) {  // all alike but for their labels
    for (const uint32_t label : scratch_labels_) state.hash.low = Mix(state.hash.low + label + 1);
    state.hash.high = Mix(state.hash.low ^ own);
  } else {
    state.hash.low = Mix(a.low ^ Mix(b.low + own));
    state.hash.high = Mix(a.high + Mix(b.high ^ (own * 0x9e3779b97f4a7c15ULL)));
  }
  const auto result = static_cast<LexState>(states_.size());
  states_.push_back(state);
  it->second = result;
  return result;
}

LexState Lexer::Bytes(Regex r) { return pool_->IsEmpty(r) ? kDeadState : Make(Mode::kBytes, r); }

LexState Lexer::Text(Regex r) { return pool_->IsEmpty(r) ? kDeadState : Make(Mode::kText, r); }

LexState Lexer::Json(Before before, Regex bytes, Regex string) {
  if (pool_->IsEmpty(bytes)) bytes = kNothing;
  if (pool_->IsEmpty(string)) string = kNothing;
  if (bytes == kNothing && string == kNothing) return kDeadState;
  const uint32_t phase = before == Before::kNothing ? kNoWhitespace
                         : before == Before::kColon ? kColonFirst
                         : before == Before::kComma ? kCommaFirst
                                                    : 0;
  return Make(Mode::kJson, bytes, phase, string);
}

LexState Lexer::Done(Regex r) { return Make(Mode::kDone, r); }

LexState Lexer::StepSlow(LexState state, uint8_t byte) {
  if (states_[state].ranges_begin < 0) Expand(state);
  State& from = states_[state];
  if (from.table >= 0) return tables_[from.table + byte];
  const std::span<const ByteRange> ranges =
      std::span(ranges_).subspan(from.ranges_begin, from.num_ranges);
  // Most states are looked at a few times at most: a table is for those that are walked through.
  if (ranges.size() > kRangesInListMax && ++from.num_steps >= kStepsBeforeTable) {
    from.table = static_cast<int32_t>(tables_.size());
    tables_.resize(tables_.size() + 256, kDeadState);
    for (const ByteRange& range : ranges) {
      std::fill(tables_.begin() + from.table + range.first,
                tables_.begin() + from.table + range.last + 1, range.target);
    }
    return tables_[from.table + byte];
  }
  const auto it =
      std::lower_bound(ranges.begin(), ranges.end(), byte,
                       [](const ByteRange& range, uint8_t value) { return range.last < value; });
  return it != ranges.end() && it->first <= byte ? it->target : kDeadState;
}

std::span<const ByteRange> Lexer::Ranges(LexState state) {
  if (states_[state].ranges_begin < 0) Expand(state);
  return std::span(ranges_).subspan(states_[state].ranges_begin, states_[state].num_ranges);
}

ByteGroups Lexer::LoopGroups(LexState state) {
  if (states_[state].loop_groups == kUnknownGroups) {
    ByteGroups groups = 0;
    ByteGroups out = kGroupsBeyondAscii;  // groups with a byte that leads elsewhere
    uint32_t byte = 0;
    const auto leave_up_to = [&](uint32_t end) {
      for (; byte < end && byte < 0x80; ++byte) out |= GroupOf(static_cast<uint8_t>(byte));
    };
    for (const ByteRange& range : Ranges(state)) {
      if (range.target != state) continue;
      leave_up_to(range.first);
      for (; byte <= range.last && byte < 0x80; ++byte) {
        groups |= GroupOf(static_cast<uint8_t>(byte));
      }
    }
    leave_up_to(0x80);
    groups &= ~out;
    const State& at = states_[state];
    if (at.mode == Mode::kString || at.mode == Mode::kText) {
      groups |= LoopGroupsBeyondAscii(at.r);
    }
    states_[state].loop_groups = groups;
  }
  return states_[state].loop_groups;
}

ByteGroups Lexer::LoopGroupsBeyondAscii(Regex r) {
  struct Characters {
    uint8_t first_byte;
    uint32_t first;
    uint32_t last;
  };
  static constexpr Characters kCharacters[] = {
      {0xC2, 0x80, 0x7FF},    {0xE0, 0x800, 0x1FFF},
      {0xE2, 0x2000, 0x2FFF}, {0xE3, 0x3000, kSurrogateFirst - 1},
      {0xE3, 0xE000, 0xFFFF}, {0xF0, 0x10000, kCodePointMax}};
  CopyRow(r);
  ByteGroups out = 0;
  for (const Characters& characters : kCharacters) {
    const Over over = LookOver(characters.first, characters.last);
    if (!over.constant || over.target != r) out |= GroupOf(characters.first_byte);
  }
  return kGroupsBeyondAscii & ~out;
}

uint32_t Lexer::SafeLength(LexState state, uint32_t most) {
  if (states_[state].safe_length == UINT32_MAX) {
    uint32_t safe = 0;
    const State& from = states_[state];
    switch (from.mode) {
      case Mode::kString:
        safe = std::min(pool_->KnownSafeLength(from.r), RegexPool::kSafeLengthMax);
        break;
      case Mode::kStringTail:
      case Mode::kStringPartial:
      case Mode::kEscape:
      case Mode::kHex:
      case Mode::kHexTail:
      case Mode::kLow:
      case Mode::kLowTail:
        // Where `r` is the language before the character, that is one of the safe ones.
        safe = std::min(pool_->KnownSafeLength(from.r), RegexPool::kSafeLengthMax);
        if (safe > 0 && safe < RegexPool::kSafeLengthMax) --safe;
        break;
      default:
        break;
    }
    states_[state].safe_length = safe;
  }
  return std::min(states_[state].safe_length, most);
}

void Lexer::CopyRow(const State& state) {
  if ((state.aux & kUniform) != 0) {
    row_.assign(1, {kCodePointMax, state.r});
    return;
  }
  CopyRow(state.r);
}

void Lexer::CopyRow(Regex r) {
  const auto row = pool_->Row(r);
  pool_->Spend(row.size());
  row_.assign(row.begin(), row.end());
  for (RowEntry& entry : row_) {
    if (entry.target != kNothing && pool_->IsEmpty(entry.target)) entry.target = kNothing;
  }
}

Lexer::Over Lexer::LookOver(uint32_t first, uint32_t last) {
  Over over;
  auto it =
      std::lower_bound(row_.begin(), row_.end(), first,
                       [](const RowEntry& entry, uint32_t value) { return entry.last < value; });
  over.target = it->target;
  over.constant = true;
  for (;; ++it) {
    over.live = over.live || it->target != kNothing;
    over.constant = over.constant && it->target == over.target;
    if (it->last >= last) return over;
  }
}

// The state between two characters.
LexState Lexer::Body(Mode body, Regex target) {
  return target == kNothing ? kDeadState : Make(body, target);
}

void Lexer::AddBytes(Regex r, std::vector<ByteRange>* out) {
  CopyRow(r);
  uint32_t first = 0;
  for (const RowEntry& entry : row_) {
    if (first > 0xFF) break;
    if (entry.target != kNothing) {
      grammar::Add(out, first, std::min<uint32_t>(entry.last, 0xFF),
                   Make(Mode::kBytes, entry.target));
    }
    first = entry.last + 1;
  }
}

// `size` bytes in all, `rest` of them to come, `value` of those read.
LexState Lexer::Continue(Mode body, Regex r, uint32_t size, uint32_t rest, uint32_t value) {
  uint32_t first = value << (6 * rest);
  uint32_t last = first + (1u << (6 * rest)) - 1;
  const uint32_t least = size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
  first = std::max(first, least);
  last = std::min(last, kCodePointMax);
  bool special = first != value << (6 * rest) || last == kCodePointMax;
  if (size == 3 && first <= kSurrogateLast && last >= kSurrogateFirst) {
    special = true;
    if (first >= kSurrogateFirst) first = kSurrogateLast + 1;
    if (last <= kSurrogateLast) last = kSurrogateFirst - 1;
  }
  if (first > last) return kDeadState;
  const Over over = LookOver(first, last);
  if (!over.live) return kDeadState;
  if (rest == 0) return Body(body, over.target);
  const bool text = body == Mode::kText;
  if (over.constant && !special) {
    return Make(text ? Mode::kTextTail : Mode::kStringTail, over.target, rest);
  }
  const uint32_t read = size << 28 | rest << 24 | value;
  return Make(text ? Mode::kTextPartial : Mode::kStringPartial, over.constant ? over.target : r,
              over.constant ? kUniform | read : read);
}

// Characters beyond ASCII, by their first bytes; those treated alike at once.
void Lexer::AddFirstBytes(Mode body, Regex r, std::vector<ByteRange>* out) {
  struct Group {
    uint8_t first_byte;
    uint8_t last_byte;
    uint8_t size;
    uint32_t first;
    uint32_t last;
  };
  static constexpr Group kGroups[] = {
      {0xC2, 0xDF, 2, 0x80, 0x7FF},      {0xE0, 0xE0, 3, 0x800, 0xFFF},
      {0xE1, 0xEC, 3, 0x1000, 0xCFFF},   {0xED, 0xED, 3, 0xD000, 0xD7FF},
      {0xEE, 0xEF, 3, 0xE000, 0xFFFF},   {0xF0, 0xF0, 4, 0x10000, 0x3FFFF},
      {0xF1, 0xF3, 4, 0x40000, 0xFFFFF}, {0xF4, 0xF4, 4, 0x100000, kCodePointMax}};
  for (const Group& group : kGroups) {
    const bool alike = LookOver(group.first, group.last).constant;
    for (uint32_t byte = group.first_byte; byte <= group.last_byte; ++byte) {
      const uint32_t last = alike ? group.last_byte : byte;
      grammar::Add(
          out, byte, last,
          Continue(body, r, group.size, group.size - 1u, byte & (0xFF >> (group.size + 1))));
      byte = last;
    }
  }
}

// Characters written as themselves; row_ is that of the language.
void Lexer::AddCharacters(Mode body, std::vector<ByteRange>* out) {
  const bool string = body == Mode::kString;
  uint32_t first = 0;
  for (size_t i = 0; i < row_.size() && first < 0x80; ++i) {
    const RowEntry entry = row_[i];
    const uint32_t last = std::min<uint32_t>(entry.last, 0x7F);
    if (entry.target != kNothing) {
      const LexState target = Make(body, entry.target);
      if (!string) {
        grammar::Add(out, first, last, target);
      } else {
        for (const auto& [from, to] : {std::pair{0x20u, 0x21u}, {0x23u, 0x5Bu}, {0x5Du, 0x7Fu}}) {
          const uint32_t low = std::max(first, from);
          const uint32_t high = std::min(last, to);
          if (low <= high) grammar::Add(out, low, high, target);
        }
      }
    }
    first = entry.last + 1;
  }
}

// If a character of [first, last], which has no surrogate, may be written by its number.
bool Lexer::LookOverHex(uint32_t first, uint32_t last) {
  if (spelling_ == Spelling::kAny || last < kPlainFirst || first > kPlainLast) {
    return LookOver(first, last).live;
  }
  return (first < kPlainFirst && LookOver(first, kPlainFirst - 1).live) ||
         (last > kPlainLast && LookOver(kPlainLast + 1, last).live);
}

// If some character may be written by its number, as one escape or as a pair of surrogates.
bool Lexer::LookOverEscapable() {
  return LookOverHex(0, kSurrogateFirst - 1) || LookOver(kSurrogateLast + 1, kCodePointMax).live;
}

// What all characters lead to that may be written as escapes.
Lexer::Over Lexer::LookOverEscapes() {
  Over over = LookOver(kSurrogateLast + 1, kCodePointMax);
  const auto also = [&](uint32_t first, uint32_t last) {
    const Over part = LookOver(first, last);
    over.live = over.live || part.live;
    over.constant = over.constant && part.constant && part.target == over.target;
  };
  if (spelling_ == Spelling::kAny) {
    also(0, kSurrogateFirst - 1);
  } else {
    also(0, kPlainFirst - 1);
    also('"', '"');
    also('\\', '\\');
    also(kPlainLast + 1, kSurrogateFirst - 1);
  }
  return over;
}

void Lexer::AddEscapes(const State& from, std::vector<ByteRange>* out) {
  static constexpr std::pair<uint8_t, uint8_t> kShort[] = {{'"', '"'},  {'/', '/'},  {'\\', '\\'},
                                                           {'b', '\b'}, {'f', '\f'}, {'n', '\n'},
                                                           {'r', '\r'}, {'t', '\t'}};
  for (const auto& [byte, code_point] : kShort) {
    if (byte == '/' && spelling_ == Spelling::kPlain) continue;
    const Over over = LookOver(code_point, code_point);
    grammar::Add(out, byte, byte, Body(Mode::kString, over.target));
  }
  if (LookOverEscapable()) {
    grammar::Add(out, 'u', 'u', Make(Mode::kHex, from.r, from.aux & kUniform));
  }
}

LexState Lexer::AfterHex(const State& from, uint8_t byte) {
  const uint32_t digits = (from.aux >> 24 & 7) + 1;
  const uint32_t value = (from.aux & 0xFFFF) << 4 | static_cast<uint32_t>(HexDigit(byte));
  const Regex r = from.r;
  const uint32_t read = (from.aux & kUniform) | digits << 24 | value;
  const uint32_t rest = 4 - digits;
  const uint32_t first = value << (4 * rest);
  const uint32_t last = first + (1u << (4 * rest)) - 1;
  if (last < kSurrogateFirst || first > kSurrogateLast) {
    if (!LookOverHex(first, last)) return kDeadState;
    if (first < kPlainFirst && last > kPlainLast && spelling_ == Spelling::kPlain) {
      return Make(Mode::kHex, r, read);
    }
    const Over over = LookOver(first, last);
    if (rest == 0) return Body(Mode::kString, over.target);
    if (over.constant) return Make(Mode::kHexTail, over.target, rest);
    return Make(Mode::kHex, r, read);
  }
  const auto pairs = [&](uint32_t low, uint32_t high) {
    return LookOver(0x10000 + ((low - 0xD800) << 10), 0x10000 + ((high - 0xD800) << 10) + 0x3FF);
  };
  if (rest == 0) {
    if (value >= 0xDC00) return kDeadState;  // a low surrogate without its high one
    const Over over = pairs(value, value);
    if (!over.live) return kDeadState;
    if (over.constant) return Make(Mode::kLowTail, over.target, 0);
    return Make(Mode::kLow, r, (from.aux & kUniform) | (value - 0xD800) << 16);
  }
  bool live = first < 0xDC00 && pairs(std::max(first, 0xD800u), std::min(last, 0xDBFFu)).live;
  live = live || (first < kSurrogateFirst && LookOverHex(first, kSurrogateFirst - 1));
  live = live || (last > kSurrogateLast && LookOver(kSurrogateLast + 1, last).live);
  return live ? Make(Mode::kHex, r, read) : kDeadState;
}

// Inside the second half of a surrogate pair: stage 0 before '\', 1 before 'u', then the digits.
LexState Lexer::AfterLow(const State& from, uint8_t byte) {
  const uint32_t stage = from.aux >> 28 & 7;
  if (stage < 2) {
    const uint8_t wanted = stage == 0 ? '\\' : 'u';
    return byte == wanted ? Make(Mode::kLow, from.r, from.aux + (1u << 28)) : kDeadState;
  }
  const int digit = HexDigit(byte);
  if (digit < 0) return kDeadState;
  const uint32_t high = from.aux >> 16 & 0x3FF;
  const uint32_t value = (from.aux & 0xFFFF) << 4 | static_cast<uint32_t>(digit);
  const uint32_t rest = 5 - stage;
  const uint32_t first = std::max(value << (4 * rest), 0xDC00u);
  const uint32_t last = std::min((value << (4 * rest)) + (1u << (4 * rest)) - 1, 0xDFFFu);
  if (first > last) return kDeadState;
  const uint32_t base = 0x10000 + (high << 10) - 0xDC00;
  const Over over = LookOver(base + first, base + last);
  if (!over.live) return kDeadState;
  if (rest == 0) return Body(Mode::kString, over.target);
  return Make(Mode::kLow, from.r, (from.aux & kUniform) | (stage + 1) << 28 | high << 16 | value);
}

void Lexer::ExpandJson(const State& from, std::vector<ByteRange>* out) {
  uint32_t phase = from.aux;
  Regex string = from.s;
  if (phase == kColonFirst) {
    grammar::Add(out, ':', ':', Make(Mode::kJson, from.r, 0, from.s));
    return;
  }
  if (phase == kCommaFirst) {
    if (from.s != kNothing) grammar::Add(out, ',', ',', Make(Mode::kJson, kNothing, 0, from.s));
    if (from.r == kNothing) return;
    string = kNothing;
    phase = 0;
  }
  if (phase == 0) grammar::Add(out, '\n', '\n', Make(Mode::kJson, from.r, 1, string));
  if (phase <= kWhitespaceSpacesMax) {
    grammar::Add(out, ' ', ' ', Make(Mode::kJson, from.r, std::max(phase, 1u) + 1, string));
  }
  if (string != kNothing) grammar::Add(out, '"', '"', Make(Mode::kString, string));
  if (from.r != kNothing) AddBytes(from.r, out);
  std::sort(out->begin(), out->end(),
            [](const ByteRange& a, const ByteRange& b) { return a.first < b.first; });
}

void Lexer::Expand(LexState state) {
  pool_->Spend(64);
  const State from = states_[state];
  std::vector<ByteRange>& out = scratch_ranges_;
  out.clear();
  switch (from.mode) {
    case Mode::kDead:
    case Mode::kDone:
      break;
    case Mode::kBytes:
      AddBytes(from.r, &out);
      break;
    case Mode::kJson:
      ExpandJson(from, &out);
      break;
    case Mode::kTextTail:
    case Mode::kStringTail: {
      const bool text = from.mode == Mode::kTextTail;
      grammar::Add(&out, 0x80, 0xBF,
                   from.aux == 1 ? Body(text ? Mode::kText : Mode::kString, from.r)
                                 : Make(from.mode, from.r, from.aux - 1));
      break;
    }
    case Mode::kTextPartial:
    case Mode::kStringPartial:
      CopyRow(from);
      for (uint32_t byte = 0x80; byte < 0xC0; ++byte) {
        grammar::Add(&out, byte, byte,
                     Continue(from.mode == Mode::kTextPartial ? Mode::kText : Mode::kString, from.r,
                              from.aux >> 28 & 7, (from.aux >> 24 & 7) - 1,
                              (from.aux & 0xFFFFFF) << 6 | (byte & 63)));
      }
      break;
    case Mode::kText:
    case Mode::kString: {
      CopyRow(from.r);
      AddCharacters(from.mode, &out);
      AddFirstBytes(from.mode, from.r, &out);
      if (from.mode == Mode::kString) {
        if (pool_->Nullable(from.r)) grammar::Add(&out, '"', '"', Done(from.r));
        const Over escapes = LookOverEscapes();
        if (escapes.live && escapes.constant) {
          grammar::Add(&out, '\\', '\\', Make(Mode::kEscape, escapes.target, kUniform));
        } else if (escapes.live) {
          grammar::Add(&out, '\\', '\\', Make(Mode::kEscape, from.r));
        }
        std::sort(out.begin(), out.end(),
                  [](const ByteRange& a, const ByteRange& b) { return a.first < b.first; });
      }
      break;
    }
    case Mode::kEscape:
      CopyRow(from);
      AddEscapes(from, &out);
      break;
    case Mode::kHex:
      CopyRow(from);
      AddHexDigits(&out, [&](uint8_t byte) { return AfterHex(from, byte); });
      break;
    case Mode::kHexTail:
      AddHexDigits(&out, [&](uint8_t) {
        return from.aux == 1 ? Body(Mode::kString, from.r)
                             : Make(Mode::kHexTail, from.r, from.aux - 1);
      });
      break;
    case Mode::kLow:
      CopyRow(from);
      for (uint32_t byte = 0; byte < 128; ++byte) {
        grammar::Add(&out, byte, byte, AfterLow(from, static_cast<uint8_t>(byte)));
      }
      break;
    case Mode::kLowTail: {
      // \ u [dD] [c-fC-F] hex hex
      const LexState next =
          from.aux == 5 ? Body(Mode::kString, from.r) : Make(Mode::kLowTail, from.r, from.aux + 1);
      if (from.aux == 0) grammar::Add(&out, '\\', '\\', next);
      if (from.aux == 1) grammar::Add(&out, 'u', 'u', next);
      if (from.aux >= 2) {
        AddHexDigits(&out, [&](uint8_t byte) {
          const int digit = HexDigit(byte);
          const bool good = from.aux == 2 ? digit == 13 : from.aux == 3 ? digit >= 12 : true;
          return good ? next : kDeadState;
        });
      }
      break;
    }
  }
  State& to = states_[state];
  to.ranges_begin = static_cast<int32_t>(ranges_.size());
  to.num_ranges = static_cast<uint32_t>(out.size());
  ranges_.insert(ranges_.end(), out.begin(), out.end());
}

std::vector<Lexer::Move> Lexer::MovesFrom(LexState state) {
  std::vector<Move> moves;
  const State from = states_[state];
  if (from.mode != Mode::kText && from.mode != Mode::kString) {
    for (const ByteRange& range : Ranges(state)) {
      moves.push_back({std::string(1, Representative(range)), range.target});
    }
    return moves;
  }
  const bool string = from.mode == Mode::kString;
  if (string && pool_->Nullable(from.r)) moves.push_back({"\"", Done(from.r)});
  CopyRow(from.r);
  uint32_t first = 0;
  for (const RowEntry& entry : row_) {
    if (entry.target != kNothing) {
      std::string text = CheapestText(first, entry.last, string);
      if (!text.empty()) moves.push_back({std::move(text), Make(from.mode, entry.target)});
    }
    first = entry.last + 1;
  }
  return moves;
}

std::vector<uint32_t> Lexer::LabelsAhead(LexState state) const {
  std::vector<uint32_t> labels;
  pool_->LabelsAhead(states_[state].r, &labels);
  if (states_[state].mode == Mode::kJson) pool_->LabelsAhead(states_[state].s, &labels);
  return labels;
}

uint64_t Lexer::memory_bytes() const {
  return states_.capacity() * sizeof(State) + ranges_.capacity() * sizeof(ByteRange) +
         tables_.capacity() * 4 + labels_.capacity() * 4 +
         index_.size() * (sizeof(Key) + 4 + 2 * sizeof(void*));
}

}  // namespace retort::grammar
