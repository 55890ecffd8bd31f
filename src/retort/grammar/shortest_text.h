#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "retort/grammar/machine.h"

namespace retort::grammar {

// How to complete what was begun in few bytes: a number by its digits so far, a string by its
// quote, containers by what they still owe. What is found depends on the grammar and the state
// alone; it is the shortest where no container may be closed later at less cost.
//
// Lock the machine's mutex around calls.
class ShortestText {
 public:
  explicit ShortestText(Machine* machine) : machine_(machine) {}

  // A text that completes `from`; nullopt if none of at most kBytesMax bytes is found. It does not
  // know which keys or items were there before: check that it is allowed.
  std::optional<std::string> After(const Configurations& from);

  static constexpr uint32_t kBytesMax = 1u << 16;
  static constexpr size_t kItemsMax = 1u << 14;    // positions looked at, of one grammar
  static constexpr size_t kLexStatesMax = 20'000;  // of one search for a token's end
  static constexpr size_t kSharedBytesMax = 1024;  // ends of tokens that are remembered
  static constexpr size_t kCallsMax = 1u << 16;    // depth of the stack that is unwound

 private:
  static constexpr Position kNone = UINT32_MAX;
  static constexpr uint32_t kNever = UINT32_MAX / 4;

  // The end of a token, and what the machine does then.
  struct Way {
    uint32_t label = 0;
    std::string text;
  };
  // One way through a node: a text, then a node that begins at `value`, then `next`.
  struct Edge {
    std::string text;
    Position value = kNone;
    Position next = kNone;
  };
  struct Item {
    std::vector<Edge> edges;
    uint32_t bytes = kNever;  // to the end of the node
    size_t best = 0;
  };
  struct Exit {  // from a vertex of the stack
    uint32_t bytes = kNever;
    size_t best = 0;
    bool done = false;
  };

  const std::vector<Way>& Ways(LexState state);
  std::vector<Way> Search(LexState state);
  std::optional<Way> RequiredKey(Position position);
  std::vector<Edge> EdgesAt(Position position);
  void AddEdges(const Way& way, Position position, std::vector<Edge>* edges);
  void AddSymbolEdges(uint32_t symbol, std::vector<Edge>* edges);
  // Everything that `position` may lead to, with its cost.
  void Solve(Position position);
  void Explore(std::vector<Position>* found);
  bool Improve(const std::vector<Position>& found);
  uint32_t BytesAt(Position position);
  uint32_t BytesOf(const Edge& edge);
  uint32_t BytesOut(const Call* call);
  void AppendAt(Position position, std::string* out) const;
  void AppendEdge(const Edge& edge, std::string* out) const;

  Machine* machine_;
  std::unordered_map<LexState, std::vector<Way>> ways_;
  std::unordered_map<Position, Item> items_;
  std::unordered_map<const Call*, Exit> exits_;  // of one question
};

}  // namespace retort::grammar
