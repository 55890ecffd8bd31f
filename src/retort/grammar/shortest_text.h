#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "retort/grammar/machine.h"

namespace retort::grammar {

// How to complete what was begun in the fewest bytes: a number by its digits so far, a string by
// its quote, containers by what they still owe. Shortest paths, exact at both levels: over the
// states of a token, from character to character; over the machine's positions, where an edge may
// lead through a value and then on. Keys and items that must not repeat are told apart when the
// text is written; until then each counts as the shortest.
//
// The result depends on the grammar and the state alone, never on what was asked before: among
// texts that are equally short the first in the order of moves is taken.
//
// Lock the machine's mutex around calls.
class ShortestText {
 public:
  explicit ShortestText(Machine* machine) : machine_(machine) {}

  // A text that completes `from`, whose open tokens began in `tail`. Throws Error{kExhausted} if
  // that takes more than one of the bounds below. nullopt: what must not repeat stands in the way.
  std::optional<std::string> After(const Configurations& from, std::string_view tail);
  uint64_t memory_bytes() const;

  // Bytes of one text: no answer is as long.
  static constexpr uint32_t kBytesMax = 1u << 20;
  // Positions of one grammar that are looked at: as many as the machine may have.
  static constexpr size_t kItemsMax = 1u << 18;
  // States visited in one search for a token's end: a quarter of those that a lexer may have.
  static constexpr size_t kLexStatesMax = 1u << 16;
  // Depth of the stack that is unwound: a container each, which takes a byte.
  static constexpr size_t kCallsMax = 1u << 16;

 private:
  static constexpr Position kNone = UINT32_MAX;
  // Bytes, then the number of parts: of equally short texts that of fewest parts, so that no text
  // is made of itself.
  using Cost = uint64_t;
  static constexpr Cost kByte = Cost{1} << 32;
  static constexpr Cost kNever = UINT64_MAX;

  // The end of a token with a label, and the shortest text up to there.
  struct Way {
    uint32_t label = 0;
    std::string text;
  };
  // The way to the end from a state of which every token's end has one label.
  struct Tail {
    uint32_t bytes = 0;
    LexState next = kDeadState;  // dead: the token ends here
    std::string text;            // of the move there
  };
  // One way through a node: a text, then a node that begins at `value`, then `next`.
  struct Edge {
    std::string text;
    Position value = kNone;
    Position next = kNone;
    uint32_t label = 0;
    bool is_remembered = false;  // `text` ends with what must not come again
  };
  struct Item {
    std::vector<Edge> edges;
    Cost cost = kNever;  // to the end of the node
    size_t best = 0;
  };
  struct Exit {  // from a vertex of the stack
    Cost cost = kNever;
    size_t best = 0;
    bool done = false;
  };
  struct Search;
  struct Writer;

  static Cost Sum(Cost a, Cost b);
  std::vector<Way> WaysFrom(LexState state);
  std::string TailText(LexState state) const;
  void Explore(LexState state, const std::vector<uint32_t>& labels, Search* search);
  std::optional<Way> RequiredKey(Position position);
  std::vector<Edge> EdgesAt(Position position);
  void AddEdges(const Way& way, Position position, std::vector<Edge>* edges);
  void AddSymbolEdges(uint32_t symbol, std::vector<Edge>* edges);
  void Solve(Position position);
  void ExplorePositions(std::vector<Position>* found);
  void Relax(const std::vector<Position>& found);
  Cost CostAt(Position position);
  Cost CostOf(const Edge& edge);
  Cost CostOut(const Call* call);

  Machine* machine_;
  std::unordered_map<LexState, Tail> tails_;
  std::unordered_map<LexState, std::vector<Way>> ways_;
  std::unordered_map<Position, Item> items_;
  std::unordered_map<const Call*, Exit> exits_;  // of one question
  uint64_t text_bytes_ = 0;                      // of what is remembered
};

}  // namespace retort::grammar
