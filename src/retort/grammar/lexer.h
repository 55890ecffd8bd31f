#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "retort/grammar/regex_pool.h"
#include "retort/grammar/token_trie.h"

namespace retort::grammar {

// A state of the byte-level automaton. 0 is dead: nothing may follow.
using LexState = uint32_t;
inline constexpr LexState kDeadState = 0;

// Whitespace before a JSON token: nothing, or at most one line feed and then at most this many
// spaces. A documented bound: an endless run of blanks is what hangs generation elsewhere.
inline constexpr int kWhitespaceSpacesMax = 32;

// Bytes first..last lead to `target`.
struct ByteRange {
  uint8_t first = 0;
  uint8_t last = 0;
  LexState target = kDeadState;
};

// Which spellings of a JSON string may be read. A model whose next character is settled, as in a
// key, would else often write it as an escape: of the tokens that are left, those may be the
// likeliest.
enum class Spelling : uint8_t {
  kPlain,  // printable ASCII as itself but '"' and '\'; the rest either way, as writers do
  kAny,    // all that are JSON
};

// Reads one token of a grammar byte by byte. Deterministic, built as it is walked, exact: a state
// that is not dead has a continuation that is accepted.
//
// What may be read: a regular language over bytes; one over code points, written in UTF-8; and a
// JSON value's beginning, which is whitespace, then either a language over bytes or a JSON string
// whose *decoded* code points are in a language over code points (an escape is one code point,
// surrogates must pair, control characters must be escaped), quotes included.
//
// Not thread-safe.
class Lexer {
 public:
  Lexer(RegexPool* pool, const Limits& limits, Spelling spelling);

  LexState Bytes(Regex r);
  LexState Text(Regex r);
  // `string` kNothing: no string. `bytes` kNothing: only a string.
  enum class Before : uint8_t {
    kNothing,     // the token itself
    kWhitespace,  // whitespace, then the token
    kColon,       // ':', whitespace, the token
    kComma,       // either whitespace and `bytes`, or ',' and whitespace and `string`
  };
  LexState Json(Before before, Regex bytes, Regex string);

  LexState Step(LexState state, uint8_t byte) { return Step(ReaderOf(state), byte); }
  // A state with what reading a byte from it needs, if it is known yet: for many bytes.
  struct Reader {
    LexState state = kDeadState;
    int32_t table = -1;
  };
  Reader ReaderOf(LexState state) const { return {state, states_[state].table}; }
  LexState Step(const Reader& from, uint8_t byte) {
    if (from.table >= 0) return tables_[from.table + byte];
    return StepSlow(from.state, byte);
  }
  // The labels with which the bytes so far are a whole token; empty if they are not.
  std::span<const uint32_t> Labels(LexState state) const {
    return std::span(labels_).subspan(states_[state].labels_begin, states_[state].num_labels);
  }
  bool Accepts(LexState state) const { return states_[state].num_labels > 0; }
  // Ascending, disjoint, none dead. Valid until the next call that is not const.
  std::span<const ByteRange> Ranges(LexState state);
  // The groups of which every byte leads back to the state; beyond ASCII, every character.
  ByteGroups LoopGroups(LexState state);
  // Whether every token below a node leaves it in this state, or within a character after which it
  // is there again.
  bool Keeps(LexState state, const TokenStream::Below& below) {
    return (below.groups & ~LoopGroups(state)) == 0 &&
           ((below.groups & kGroupsBeyondAscii) == 0 || below.is_text);
  }
  // If the state is between two characters of a JSON string: the language of its rest.
  std::optional<Regex> StringRest(LexState state) const {
    if (states_[state].mode != Mode::kString) return {};
    return states_[state].r;
  }
  // If the state is inside a JSON string: a number of characters beyond the one it is in, if any,
  // after which the string can still be completed, whichever they are.
  uint32_t SafeLength(LexState state, uint32_t most);
  // Looks for more of what SafeLength tells of a state between two characters of a JSON string, and
  // of those around it. Of other states nothing more is known then.
  void FindSafeLength(LexState state) {
    if (states_[state].mode != Mode::kString) return;
    states_[state].safe_length = pool_->SafeLength(states_[state].r, RegexPool::kSafeLengthMax);
  }
  // A way on from a state: the cheapest character where it is between two, else a byte.
  struct Move {
    std::string text;
    LexState target = kDeadState;
  };
  // Moves with which every state between characters, and every end, is reached in the fewest bytes.
  // Their order depends on what may be read alone.
  std::vector<Move> MovesFrom(LexState state);
  // With which labels the token may still end; some may be more than it really can.
  std::vector<uint32_t> LabelsAhead(LexState state) const;
  LexState StringBody(Regex rest) { return Body(Mode::kString, rest); }
  RegexPool& pool() { return *pool_; }
  // The same in every lexer for states that behave alike because they are written alike.
  StructureHash HashOf(LexState state) const { return states_[state].hash; }
  size_t num_states() const { return states_.size(); }
  uint64_t memory_bytes() const;

 private:
  enum class Mode : uint8_t {
    kDead,
    kBytes,
    kText,
    kTextTail,
    kTextPartial,
    kJson,
    kString,
    kStringTail,
    kStringPartial,
    kEscape,
    kHex,
    kHexTail,
    kLow,
    kLowTail,
    kDone,
  };
  static constexpr ByteGroups kUnknownGroups = ~ByteGroups{0};
  struct State {
    StructureHash hash;
    Mode mode = Mode::kDead;
    Regex r = kNothing;
    Regex s = kNothing;
    uint32_t aux = 0;
    int32_t ranges_begin = -1;
    uint32_t num_ranges = 0;
    int32_t table = -1;
    uint32_t labels_begin = 0;
    uint32_t num_labels = 0;
    uint8_t num_steps = 0;  // up to where a table is made
    ByteGroups loop_groups = kUnknownGroups;
    uint32_t safe_length = UINT32_MAX;  // not known yet
  };
  struct Key {
    Mode mode;
    Regex r;
    Regex s;
    uint32_t aux;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      uint64_t x = (uint64_t{key.r} << 32 | key.s) * 0x9e3779b97f4a7c15ULL;
      x ^= (uint64_t{key.aux} << 8 | static_cast<uint8_t>(key.mode)) * 0xd6e8feb86659fd93ULL;
      return x ^ x >> 29;
    }
  };
  // What a range of code points leads to: nothing, one language, or several.
  struct Over {
    bool live = false;
    bool constant = false;
    Regex target = kNothing;
  };

  LexState Make(Mode mode, Regex r, uint32_t aux = 0, Regex s = kNothing);
  LexState Done(Regex r);
  LexState StepSlow(LexState state, uint8_t byte);
  void Expand(LexState state);
  void CopyRow(Regex r);
  void CopyRow(const State& state);
  Over LookOver(uint32_t first, uint32_t last);
  LexState Body(Mode body, Regex target);
  void AddBytes(Regex r, std::vector<ByteRange>* out);
  void AddCharacters(Mode body, std::vector<ByteRange>* out);
  LexState Continue(Mode body, Regex r, uint32_t size, uint32_t rest, uint32_t value);
  ByteGroups LoopGroupsBeyondAscii(Regex r);
  void AddFirstBytes(Mode body, Regex r, std::vector<ByteRange>* out);
  Over LookOverEscapes();
  bool LookOverEscapable();
  bool LookOverHex(uint32_t first, uint32_t last);
  void AddEscapes(const State& from, std::vector<ByteRange>* out);
  LexState AfterHex(const State& from, uint8_t byte);
  LexState AfterLow(const State& from, uint8_t byte);
  void ExpandJson(const State& from, std::vector<ByteRange>* out);

  RegexPool* pool_;
  Limits limits_;
  Spelling spelling_;
  std::vector<State> states_;
  std::vector<uint32_t> labels_;
  std::vector<ByteRange> ranges_;
  std::vector<LexState> tables_;
  std::unordered_map<Key, LexState, KeyHash> index_;
  std::vector<RowEntry> row_;  // of the expression being expanded, dead targets made kNothing
  std::vector<uint32_t> scratch_labels_;
  std::vector<ByteRange> scratch_ranges_;
};

}  // namespace retort::grammar
