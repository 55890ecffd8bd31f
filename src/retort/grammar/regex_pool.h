#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "retort/grammar/code_point_set.h"
#include "retort/grammar/limits.h"

namespace retort::grammar {

// A regular language: an index into its RegexPool. Equal languages written alike have one index.
using Regex = uint32_t;

inline constexpr Regex kNothing = 0;     // no string at all
inline constexpr Regex kEpsilon = 1;     // the empty string
inline constexpr Regex kEverything = 2;  // every string
inline constexpr uint32_t kUnbounded = UINT32_MAX;

__extension__ using UInt128 = unsigned __int128;

// 128 bits that name a language by its structure, the same in every pool.
struct StructureHash {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const StructureHash&) const = default;
};

// Where a symbol leads: symbols up to and with `last` (and beyond the entry before) lead to
// `target`.
struct RowEntry {
  uint32_t last = 0;
  Regex target = kNothing;
};

// A finite set of strings, each with a label that tells which one was read.
struct NamedString {
  std::u32string text;
  uint32_t label = 0;
};

// Regular expressions with intersection and complement, hash-consed, over code points (or bytes),
// and their derivatives: the derivative of a language by a symbol is what may follow that symbol,
// so a Regex is also a state of a deterministic automaton that is built as it is walked
// (Brzozowski 1964; Owens, Reppy and Turon 2009). Bounded repeats stay counters.
//
// Copyable: a copy is the same pool with the same indices. Not thread-safe. Every function that
// makes a node throws Error{kExhausted} when the pool's limits are reached.
class RegexPool {
 public:
  explicit RegexPool(const Limits& limits);

  void LimitNodes(size_t nodes_max) { limits_.regex_nodes_max = nodes_max; }

  // Work done with the pool, also by those who walk its automata (see Limits::work_max). Throws
  // Error{kExhausted} beyond what AllowWork said.
  void Spend(uint64_t units) {
    work_ += units;
    if (work_ > work_max_) ThrowWork();
  }
  void AllowWork(uint64_t units) {
    work_ = 0;
    work_max_ = units;
  }
  uint64_t work() const { return work_; }

  Regex Set(const CodePointSet& set);
  Regex Literal(std::u32string_view text);
  Regex Bytes(std::string_view bytes);  // each byte a symbol
  Regex Cat(Regex a, Regex b);
  Regex Cat(std::initializer_list<Regex> parts);
  Regex Or(const std::vector<Regex>& parts);
  Regex Or(Regex a, Regex b) { return Or(std::vector<Regex>{a, b}); }
  Regex And(const std::vector<Regex>& parts);
  Regex And(Regex a, Regex b) { return And(std::vector<Regex>{a, b}); }
  Regex Not(Regex a);
  Regex Repeat(Regex a, uint32_t min, uint32_t max);
  Regex Star(Regex a) { return Repeat(a, 0, kUnbounded); }
  Regex Optional(Regex a) { return Repeat(a, 0, 1); }
  // The empty string, with a label: only at the end of a concatenation, outside And and Not.
  Regex Tag(uint32_t label);
  Regex Names(const std::vector<NamedString>& names);  // distinct texts
  // The same, of names that the pool was told of before, for those that are asked about often.
  using Name = uint32_t;
  Name NameOf(std::u32string_view text, uint32_t label);
  Regex Names(std::vector<Name> names);
  // The same languages, of another pool: one for each of `roots`.
  std::vector<Regex> Copy(const RegexPool& from, std::span<const Regex> roots);
  // Digits with an optional point and fraction, whose value is a multiple of
  // divisor / 10^scale. divisor in [1, 2^60), scale <= 4096. Leading zeros are allowed.
  Regex Multiples(uint64_t divisor, uint32_t scale);
  // One digit or more, fewer than there are tails, then tails[n], where the n-th digit is the last
  // that is not 0 (0: none is). No tail begins with a digit or is kNothing.
  Regex Fraction(const std::vector<Regex>& tails);

  bool Nullable(Regex r) const { return nodes_[r].nullable; }
  // Labels of the ways in which `r` accepts the empty string; {0} where no tag is involved; empty
  // if it does not.
  void Labels(Regex r, std::vector<uint32_t>* labels) const;
  // Labels of the ways in which any string of `r` is accepted.
  void LabelsAhead(Regex r, std::vector<uint32_t>* labels) const;
  // The derivatives of `r` by every symbol, ascending, the last entry's `last` is kCodePointMax.
  // Valid until the next call that makes nodes.
  std::span<const RowEntry> Row(Regex r);
  Regex Derive(Regex r, uint32_t symbol);
  // Exact. Searches where intersections are involved; throws Error{kExhausted} when that takes more
  // than the limit.
  bool IsEmpty(Regex r);
  bool Matches(Regex r, std::u32string_view text);
  // `r`, which IsListed, but for one string: derived along it, so that of what is left all that the
  // string is not part of stays the very node it was.
  Regex Without(Regex r, std::u32string_view text);
  // Number of strings, at most `limit`; `limit` also when it is not found out. Writes them to
  // `strings` if given (only complete if the result is below `limit`).
  uint64_t Count(Regex r, uint64_t limit, std::vector<std::u32string>* strings);

  // If `r` is all strings with a bounded number of symbols: that bound.
  struct Lengths {
    uint32_t min = 0;
    uint32_t max = kUnbounded;
  };
  std::optional<Lengths> LengthsOf(Regex r) const;
  // If `r` is a plain language and such a bound together: both.
  std::optional<std::pair<Regex, Lengths>> SplitLengths(Regex r) const;
  // Of a plain language: symbols of its shortest string.
  uint32_t ShortestLength(Regex r) { return NeedOf(r).least; }
  // Of a plain language: no fewer symbols than the shortest string of it and of anything it can be
  // derived to, saturating at kUnbounded.
  uint32_t LongestNeed(Regex r);

  // Asked for as `most` below, it stands for any number.
  static constexpr uint32_t kSafeLengthMax = 255;
  // A number of symbols, at most `most`, after which `r` is still not empty, whichever they are.
  uint32_t SafeLength(Regex r, uint32_t most);
  // What was found out of that while others were asked about: never more, often less.
  uint32_t KnownSafeLength(Regex r);

  StructureHash HashOf(Regex r) const { return nodes_[r].hash; }
  size_t num_nodes() const { return nodes_.size(); }
  uint64_t memory_bytes() const;
  // No intersection or complement inside: every derivative that is not kNothing has a string.
  bool IsPlain(Regex r) const { return nodes_[r].plain; }
  // Made of symbols, one after another, and alternatives alone.
  bool IsListed(Regex r) const { return nodes_[r].listed; }

 private:
  enum class Kind : uint8_t {
    kNothing,
    kEpsilon,
    kEverything,
    kSet,
    kCat,
    kOr,
    kAnd,
    kNot,
    kRepeat,
    kTag,
    kNames,
    kMultiples,
    kFraction
  };
  enum class Emptiness : uint8_t { kUnknown, kEmpty, kNonEmpty };
  struct Node {
    StructureHash hash;
    Kind kind = Kind::kNothing;
    bool nullable = false;
    bool plain = true;
    bool tagged = false;  // there may be a tag inside
    bool listed = false;
    Emptiness emptiness = Emptiness::kUnknown;
    uint32_t a = 0;  // first child; of lists: their offset in children_; of sets and names: index
    uint32_t b = 0;  // second child; of lists: their number; else see the maker
    uint32_t c = 0;
    uint32_t d = 0;
    int32_t row_begin = -1;
    uint32_t row_size = 0;
  };
  struct NameInfo {
    uint32_t begin = 0;  // in name_text_
    uint32_t size = 0;
    uint32_t label = 0;
  };
  struct LowBits {
    size_t operator()(const StructureHash& hash) const { return hash.low; }
  };
  struct Modulus {
    uint64_t divisor = 1;
    uint32_t scale = 0;
  };

  Regex Intern(const Node& node);
  void CheckChildren(size_t num_more) const;
  Regex MakeList(Kind kind, std::vector<Regex> parts);
  std::u32string_view TextOf(Name name) const {
    return std::u32string_view(name_text_).substr(names_[name].begin, names_[name].size);
  }
  // Of what is left of a name from `depth` on.
  const StructureHash& RestHash(Name name, uint32_t depth) const {
    return name_rests_[names_[name].begin + name + depth];
  }
  Regex NamesNode(uint32_t table, uint32_t first, uint32_t last, uint32_t depth);
  Regex MultiplesNode(uint32_t modulus, uint32_t phase, uint64_t remainder);
  static bool HasList(Kind kind) {
    return kind == Kind::kOr || kind == Kind::kAnd || kind == Kind::kFraction;
  }
  std::span<const uint32_t> Children(const Node& node) const {
    return std::span(children_).subspan(node.a, node.b);
  }
  Regex FractionNode(uint32_t tails, uint32_t num_tails, uint32_t num_digits, uint32_t last);
  void ComputeRow(Regex r, std::vector<RowEntry>* out);
  void DropImplied(std::vector<Regex>* alternatives) const;
  void UnionRow(const Node& node, std::vector<RowEntry>* out);
  void NamesRow(const Node& node, std::vector<RowEntry>* out);
  void MultiplesRow(const Node& node, std::vector<RowEntry>* out);
  void FractionRow(const Node& node, std::vector<RowEntry>* out);
  template <typename Combine>
  void MergeRows(std::span<const RowEntry> x, std::span<const RowEntry> y, Combine combine,
                 std::vector<RowEntry>* out);
  bool Search(Regex start);
  uint64_t CountUpTo(Regex r, uint64_t limit);
  void List(Regex r, std::vector<std::u32string>* strings);
  struct Need {
    uint32_t least = 0;    // length of the shortest string
    uint32_t longest = 0;  // of the shortest string of any derivative
  };
  Need NeedOf(Regex r);
  bool IsFinite(Regex r, int* visits) const;
  bool NeverDies(Regex r, int* visits) const;
  void SafeSearch(Regex r);
  void Rehash(size_t size);
  [[noreturn]] void ThrowWork() const;

  Limits limits_;
  uint64_t work_ = 0;
  uint64_t work_max_ = UINT64_MAX;
  std::vector<Node> nodes_;
  std::vector<uint32_t> table_;  // open addressing over node hashes; 0 is free
  std::vector<uint32_t> children_;
  std::vector<CodePointSet> sets_;
  std::vector<NameInfo> names_;
  std::u32string name_text_;               // of all names
  std::vector<StructureHash> name_rests_;  // of each name, for each depth up to its size
  std::unordered_map<StructureHash, Name, LowBits> name_index_;
  std::vector<std::vector<Name>> name_tables_;  // each sorted by text
  std::vector<Modulus> moduli_;
  std::vector<RowEntry> rows_;
  std::unordered_map<Regex, Need> needs_;
  struct Safe {
    uint32_t length = 0;
    bool searched = false;
  };
  std::unordered_map<Regex, Safe> safe_;
  std::vector<uint32_t> searched_;  // which one a state was, when it was met last in a search
  uint32_t num_searched_ = 0;
};

}  // namespace retort::grammar
