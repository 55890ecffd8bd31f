#include "retort/grammar/shortest_text.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "retort/base/error.h"
#include "retort/grammar/machine_labels.h"
#include "retort/grammar/node_numbers.h"

namespace retort::grammar {
namespace {

// Of bytes that lead to the same state, the one that reads best.
uint8_t Representative(const ByteRange& range) {
  for (const uint8_t byte : {uint8_t{'a'}, uint8_t{'0'}, uint8_t{' '}}) {
    if (range.first <= byte && byte <= range.last) return byte;
  }
  return range.first;
}

void AppendUtf8(char32_t c, std::string* out) {
  const auto tail = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | ((c >> shift) & 0x3F)));
  };
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xC0 | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | c >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xF0 | c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string QuotedKey(const std::u32string& name) {
  std::string quoted = "\"";
  for (const char32_t c : name) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      AppendUtf8(c, &quoted);
    }
  }
  return quoted + '"';
}

}  // namespace

std::optional<std::string> ShortestText::After(const Configurations& from) {
  if (from.complete) return std::string();
  exits_.clear();
  uint32_t least = kNever;
  Edge best;
  const Call* out = nullptr;
  for (const Configuration& configuration : from.list) {
    const uint32_t outside = BytesOut(configuration.parent);
    if (outside >= kNever) continue;
    for (const Way& way : Ways(configuration.lex)) {
      std::vector<Edge> edges;
      AddEdges(way, configuration.position, &edges);
      for (Edge& edge : edges) {
        const uint32_t bytes = BytesOf(edge) + outside;
        if (bytes >= least) continue;
        least = bytes;
        best = std::move(edge);
        out = configuration.parent;
      }
    }
  }
  if (least > kBytesMax) return std::nullopt;
  std::string text;
  AppendEdge(best, &text);
  while (out != nullptr) {
    const Return& back = out->returns[exits_.at(out).best];
    AppendAt(back.position, &text);
    out = back.parent;
  }
  return text;
}

const std::vector<ShortestText::Way>& ShortestText::Ways(LexState state) {
  const auto found = ways_.find(state);
  if (found != ways_.end()) return found->second;
  return ways_[state] = Search(state);
}

// Breadth first, up to the first token that ends a value or a container; other tokens' ends are
// taken along.
std::vector<ShortestText::Way> ShortestText::Search(LexState state) {
  struct Visit {
    LexState state;
    size_t before;
    uint8_t byte;
  };
  Lexer& lexer = machine_->lexer();
  std::vector<Visit> visits = {{state, 0, 0}};
  std::unordered_set<LexState> seen = {state};
  std::vector<Way> ways;
  const auto text_to = [&](size_t at) {
    std::string text;
    for (; at != 0; at = visits[at].before) text += static_cast<char>(visits[at].byte);
    std::reverse(text.begin(), text.end());
    return text;
  };
  for (size_t at = 0; at < visits.size(); ++at) {
    const auto labels = lexer.Labels(visits[at].state);
    for (const uint32_t label : std::vector<uint32_t>(labels.begin(), labels.end())) {
      const bool known =
          std::any_of(ways.begin(), ways.end(), [&](const Way& way) { return way.label == label; });
      if (!known) ways.push_back({label, text_to(at)});
      if (label != kLabelPlain && label != kLabelClose) continue;
      // From every state on the way the same end is the nearest, if it is the only one.
      if (ways.size() > 1 || ways[0].text.size() > kSharedBytesMax) return ways;
      std::string rest;
      for (size_t on = at; on != 0; on = visits[on].before) {
        if (on != at) ways_.try_emplace(visits[on].state, std::vector<Way>{{label, rest}});
        rest.insert(rest.begin(), static_cast<char>(visits[on].byte));
      }
      return ways;
    }
    if (visits.size() > kLexStatesMax) break;
    for (const ByteRange& range : lexer.Ranges(visits[at].state)) {
      if (!seen.insert(range.target).second) continue;
      visits.push_back({range.target, at, Representative(range)});
    }
  }
  return ways;
}

// The key that an object cannot be closed without.
std::optional<ShortestText::Way> ShortestText::RequiredKey(Position position) {
  const Machine::PositionInfo& info = *machine_->positions_[position];
  const bool after = info.kind == Machine::Kind::kObjectAfter;
  if (!after && info.kind != Machine::Kind::kObjectFirst) return std::nullopt;
  const Machine::ObjectState state = machine_->object_states_[info.a];
  if (machine_->MayClose(state)) return std::nullopt;
  const auto& properties = machine_->ir_->objects[state.shape].properties;
  for (uint32_t p = 0; p < properties.size(); ++p) {
    if (!properties[p].required || machine_->IsPast(state, p)) continue;
    const std::string text = (after ? "," : "") + QuotedKey(properties[p].name);
    LexState lex = machine_->LexAt(position, nullptr);
    for (const char c : text) lex = machine_->lexer().Step(lex, static_cast<uint8_t>(c));
    const auto labels = machine_->lexer().Labels(lex);
    const uint32_t label = machine_->KeysOfShape(state.shape).labels[p];
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) break;
    return Way{label, text};
  }
  return std::nullopt;
}

void ShortestText::AddEdges(const Way& way, Position position, std::vector<Edge>* edges) {
  using Kind = Machine::Kind;
  const Machine::PositionInfo& info = *machine_->positions_[position];
  if (info.kind == Kind::kSymbol) {
    edges->push_back({way.text, kNone, machine_->PositionOf(Kind::kSymbol, info.a + 1)});
    return;
  }
  const std::vector<Machine::Action> actions = machine_->After(position, way.label);
  for (const Machine::Action& action : actions) {
    switch (action.kind) {
      case Machine::Action::Kind::kPop:
        edges->push_back({way.text, kNone, kNone});
        break;
      case Machine::Action::Kind::kGoto:
        edges->push_back({way.text, kNone, action.next});
        break;
      case Machine::Action::Kind::kPush: {
        // Containers push JSON values, never rules.
        const Position value = machine_->PositionOf(Kind::kValue, NodeOf(action.node),
                                                    static_cast<uint32_t>(BeforeOf(action.node)));
        edges->push_back({way.text, value, action.next});
        break;
      }
    }
  }
}

void ShortestText::AddSymbolEdges(uint32_t symbol, std::vector<Edge>* edges) {
  using Kind = Machine::Kind;
  const GrammarIr& ir = *machine_->ir_;
  const Symbol what = ir.symbols[symbol];
  if (what.kind == Symbol::Kind::kEnd) {
    edges->push_back({"", kNone, kNone});
    return;
  }
  const Position next = machine_->PositionOf(Kind::kSymbol, symbol + 1);
  if (what.kind != Symbol::Kind::kNode) {
    const LexState lex = machine_->LexAt(machine_->PositionOf(Kind::kSymbol, symbol), nullptr);
    if (lex == kDeadState) return;
    for (const Way& way : Ways(lex)) edges->push_back({way.text, kNone, next});
  } else if (what.value < ir.values.size()) {
    const auto before = static_cast<uint32_t>(Lexer::Before::kNothing);
    edges->push_back({"", machine_->PositionOf(Kind::kValue, what.value, before), next});
  } else {
    for (const uint32_t begin : ir.rules[what.value - ir.values.size()].alternatives) {
      edges->push_back({"", machine_->PositionOf(Kind::kSymbol, begin), next});
    }
  }
}

std::vector<ShortestText::Edge> ShortestText::EdgesAt(Position position) {
  using Kind = Machine::Kind;
  std::vector<Edge> edges;
  const Kind kind = machine_->positions_[position]->kind;
  if (kind == Kind::kAccept) {
    edges.push_back({});
  } else if (kind == Kind::kSymbol) {
    AddSymbolEdges(machine_->positions_[position]->a, &edges);
  } else if (const auto key = RequiredKey(position)) {
    AddEdges(*key, position, &edges);
  } else {
    const LexState lex = machine_->LexAt(position, nullptr);
    if (lex == kDeadState) return edges;
    const std::vector<Way> ways = Ways(lex);
    for (const Way& way : ways) {
      // Whatever may be closed is closed.
      const bool closes = std::any_of(ways.begin(), ways.end(),
                                      [](const Way& other) { return other.label == kLabelClose; });
      if (!closes || way.label == kLabelClose) AddEdges(way, position, &edges);
    }
  }
  return edges;
}

void ShortestText::Explore(std::vector<Position>* found) {
  for (size_t at = 0; at < found->size(); ++at) {
    if (items_.size() > kItemsMax) {
      Throw(ErrorCode::kExhausted,
            "the constraint is too complex to be closed by force: more than {} places to consider",
            kItemsMax);
    }
    std::vector<Edge> edges = EdgesAt((*found)[at]);
    machine_->pool().Spend(16 + 16 * edges.size());
    for (const Edge& edge : edges) {
      for (const Position to : {edge.value, edge.next}) {
        if (to != kNone && items_.try_emplace(to).second) found->push_back(to);
      }
    }
    items_[(*found)[at]].edges = std::move(edges);
  }
}

void ShortestText::Solve(Position position) {
  if (items_.contains(position)) return;
  std::vector<Position> found = {position};
  items_[position];
  try {
    Explore(&found);
    while (Improve(found)) {
    }
  } catch (...) {
    for (const Position added : found) items_.erase(added);
    throw;
  }
}

// Costs only fall, and each is made of others: false once none does.
bool ShortestText::Improve(const std::vector<Position>& found) {
  bool changed = false;
  for (auto it = found.rbegin(); it != found.rend(); ++it) {
    Item& item = items_.at(*it);
    machine_->pool().Spend(2 + 4 * item.edges.size());
    for (size_t i = 0; i < item.edges.size(); ++i) {
      const uint32_t bytes = BytesOf(item.edges[i]);
      if (bytes >= item.bytes) continue;
      item.bytes = bytes;
      item.best = i;
      changed = true;
    }
  }
  return changed;
}

uint32_t ShortestText::BytesAt(Position position) {
  Solve(position);
  return items_.at(position).bytes;
}

// Of what is solved, or being solved.
uint32_t ShortestText::BytesOf(const Edge& edge) {
  uint64_t bytes = edge.text.size();
  for (const Position to : {edge.value, edge.next}) {
    if (to == kNone) continue;
    if (!items_.contains(to)) Solve(to);
    bytes += items_.at(to).bytes;
  }
  return bytes > kBytesMax ? kNever : static_cast<uint32_t>(bytes);
}

uint32_t ShortestText::BytesOut(const Call* call) {
  if (call == nullptr) return 0;
  std::vector<const Call*> stack = {call};
  while (!stack.empty()) {
    const Call* top = stack.back();
    const auto [found, is_new] = exits_.try_emplace(top);
    if (is_new) {
      machine_->pool().Spend(4 + 4 * top->returns.size());
      for (const Return& back : top->returns) {
        if (back.parent != nullptr && !exits_.contains(back.parent)) stack.push_back(back.parent);
      }
      if (stack.size() > kCallsMax) return kNever;
      continue;
    }
    stack.pop_back();
    if (found->second.done) continue;
    Exit exit;
    exit.done = true;
    for (size_t i = 0; i < top->returns.size(); ++i) {
      const Return& back = top->returns[i];
      const uint32_t outside = back.parent == nullptr ? 0 : exits_.at(back.parent).bytes;
      const uint32_t bytes = std::min(kNever, BytesAt(back.position) + outside);
      if (bytes >= exit.bytes) continue;
      exit.bytes = bytes;
      exit.best = i;
    }
    exits_[top] = exit;
  }
  return exits_.at(call).bytes;
}

void ShortestText::AppendAt(Position position, std::string* out) const {
  const Item& item = items_.at(position);
  AppendEdge(item.edges.at(item.best), out);
}

void ShortestText::AppendEdge(const Edge& edge, std::string* out) const {
  *out += edge.text;
  if (edge.value != kNone) AppendAt(edge.value, out);
  if (edge.next != kNone) AppendAt(edge.next, out);
}

}  // namespace retort::grammar
