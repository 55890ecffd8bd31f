#include "retort/grammar/shortest_text.h"

#include <algorithm>
#include <queue>
#include <tuple>

#include "retort/base/error.h"
#include "retort/grammar/machine_labels.h"
#include "retort/grammar/node_numbers.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

std::string QuotedKey(const std::u32string& name) {
  std::string quoted = "\"";
  for (const char32_t c : name) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      quoted += EncodeUtf8(std::u32string(1, c));
    }
  }
  return quoted + '"';
}

[[noreturn]] void TooComplex(size_t most, const char* what) {
  Throw(ErrorCode::kExhausted,
        "the constraint is too complex to be closed by force: more than {} {} to consider", most,
        what);
}

}  // namespace

// Shortest paths from one state of a token, as far as they were needed.
struct ShortestText::Search {
  struct Node {
    LexState state = kDeadState;
    uint32_t bytes = 0;
    size_t before = 0;  // on the path that was found
    std::string text;   // of the move here
    bool is_done = false;
    std::vector<Lexer::Move> moves;  // once done
  };
  std::vector<Node> nodes;
  std::unordered_map<LexState, size_t> index;
  std::vector<size_t> done;  // in the order of their bytes

  std::string TextTo(size_t at) const {
    std::vector<const std::string*> parts;
    for (; at != 0; at = nodes[at].before) parts.push_back(&nodes[at].text);
    std::string text;
    for (size_t i = parts.size(); i-- > 0;) text += *parts[i];
    return text;
  }
  const Node* Find(LexState state) const {
    const auto it = index.find(state);
    return it == index.end() ? nullptr : &nodes[it->second];
  }
};

// Puts a text together from what was chosen, with keys and items that do not repeat.
struct ShortestText::Writer {
  struct Frame {
    Position position = kNone;
    const Seen* seen = nullptr;
  };
  ShortestText* owner;
  std::string text;
  std::vector<Frame> frames;

  // `known`: what `edge.text` ends, from the beginning of its token.
  void Take(const Edge& edge, const std::string& piece, std::string_view known, const Seen* seen) {
    text += piece;
    if (edge.is_remembered) seen = owner->machine_->Remember(seen, known);
    if (edge.next != kNone) frames.push_back({edge.next, seen});
    if (edge.value != kNone) frames.push_back({edge.value, nullptr});
  }

  // False: nothing that does not repeat is left where something must come.
  bool Run() {
    while (!frames.empty()) {
      const Frame frame = frames.back();
      frames.pop_back();
      const Item& item = owner->items_.at(frame.position);
      const Edge& edge = item.edges.at(item.best);
      if (!edge.is_remembered || frame.seen == nullptr) {
        Take(edge, edge.text, edge.text, frame.seen);
        continue;
      }
      const LexState lex = owner->machine_->LexAt(frame.position, frame.seen);
      if (lex == kDeadState || lex == kUncertainState) return false;
      const std::vector<Way> ways = owner->WaysFrom(lex);
      const auto way = std::find_if(ways.begin(), ways.end(),
                                    [&](const Way& one) { return one.label == edge.label; });
      if (way == ways.end()) return false;
      Take(edge, way->text, way->text, frame.seen);
    }
    return true;
  }
};

ShortestText::Cost ShortestText::Sum(Cost a, Cost b) {
  if (a == kNever || b == kNever) return kNever;
  const Cost sum = a + b;
  return sum / kByte > kBytesMax ? kNever : sum;
}

std::optional<std::string> ShortestText::After(const Configurations& from, std::string_view tail) {
  if (from.complete) return std::string();
  exits_.clear();
  Cost least = kNever;
  Edge best;
  const Configuration* start = nullptr;
  for (const Configuration& configuration : from.list) {
    const Cost outside = CostOut(configuration.parent);
    if (outside == kNever) continue;
    for (const Way& way : WaysFrom(configuration.lex)) {
      std::vector<Edge> edges;
      AddEdges(way, configuration.position, &edges);
      for (Edge& edge : edges) {
        const Cost cost = Sum(CostOf(edge), outside);
        if (cost >= least) continue;
        least = cost;
        best = std::move(edge);
        start = &configuration;
      }
    }
  }
  if (start == nullptr) {
    Throw(ErrorCode::kExhausted, "no text of at most {} bytes completes the constraint", kBytesMax);
  }
  Writer writer{this, "", {}};
  writer.Take(best, best.text, std::string(tail) + best.text, start->seen);
  if (!writer.Run()) return std::nullopt;
  for (const Call* out = start->parent; out != nullptr;) {
    const Return& back = out->returns[exits_.at(out).best];
    writer.frames.push_back({back.position, back.seen});
    if (!writer.Run()) return std::nullopt;
    out = back.parent;
  }
  return std::move(writer.text);
}

// Dijkstra's algorithm, until a shortest path to a token's end is known for each label.
void ShortestText::Explore(LexState start, const std::vector<uint32_t>& labels, Search* search) {
  Lexer& lexer = machine_->lexer();
  constexpr uint32_t kFar = UINT32_MAX;
  std::unordered_map<uint32_t, uint32_t> best;
  for (const uint32_t label : labels) best.emplace(label, kFar);
  size_t num_open = labels.size();
  using Entry = std::pair<uint32_t, size_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  const auto end_at = [&](uint32_t label, uint32_t bytes) {
    const auto it = best.find(label);
    if (it == best.end()) return;
    num_open -= it->second == kFar ? 1 : 0;
    it->second = std::min(it->second, bytes);
  };
  const auto meet = [&](LexState state, uint32_t bytes, size_t before, const std::string& text) {
    const auto [it, is_new] = search->index.try_emplace(state, search->nodes.size());
    if (is_new) search->nodes.push_back({state, bytes, before, text, false, {}});
    Search::Node& node = search->nodes[it->second];
    if (!is_new) {
      if (bytes >= node.bytes) return;
      node.bytes = bytes;
      node.before = before;
      node.text = text;
    }
    queue.emplace(bytes, it->second);
    for (const uint32_t label : lexer.Labels(state)) end_at(label, bytes);
    if (labels.size() == 1) {
      if (const auto known = tails_.find(state); known != tails_.end()) {
        end_at(labels[0], bytes + known->second.bytes);
      }
    }
  };
  meet(start, 0, 0, "");
  while (!queue.empty()) {
    const auto [bytes, at] = queue.top();
    queue.pop();
    if (search->nodes[at].is_done) continue;
    if (num_open == 0 && std::all_of(best.begin(), best.end(), [&, bytes = bytes](const auto& end) {
          return end.second <= bytes;
        })) {
      return;
    }
    if (bytes > kBytesMax) return;
    if (search->done.size() >= kLexStatesMax) {
      // Some labels may have no token at all: without them it is still a text.
      if (labels.size() > 1 && num_open < labels.size()) return;
      TooComplex(kLexStatesMax, "states of a token");
    }
    const LexState state = search->nodes[at].state;
    search->nodes[at].is_done = true;
    search->done.push_back(at);
    if (labels.size() == 1 && tails_.contains(state)) continue;  // known from there on
    const std::vector<Lexer::Move> moves = lexer.MovesFrom(state);
    machine_->pool().Spend(8 + 2 * moves.size());
    for (const Lexer::Move& move : moves) {
      meet(move.target, bytes + static_cast<uint32_t>(move.text.size()), at, move.text);
    }
    search->nodes[at].moves = moves;
  }
}

std::vector<ShortestText::Way> ShortestText::WaysFrom(LexState state) {
  if (const auto found = ways_.find(state); found != ways_.end()) return found->second;
  const std::vector<uint32_t> labels = machine_->lexer().LabelsAhead(state);
  if (labels.size() == 1 && tails_.contains(state)) return {{labels[0], TailText(state)}};
  Search search;
  Explore(state, labels, &search);
  std::vector<Way> ways;
  if (labels.size() != 1) {
    for (size_t at = 0; at < search.nodes.size(); ++at) {
      const Search::Node& node = search.nodes[at];
      for (const uint32_t label : machine_->lexer().Labels(node.state)) {
        const auto known = std::find_if(ways.begin(), ways.end(),
                                        [&](const Way& way) { return way.label == label; });
        if (known == ways.end()) {
          ways.push_back({label, search.TextTo(at)});
        } else if (node.bytes < known->text.size()) {
          known->text = search.TextTo(at);
        }
      }
    }
    for (const Way& way : ways) text_bytes_ += sizeof(Way) + way.text.size();
    ways_[state] = ways;
    return ways;
  }
  // From the end back: which states lie on a shortest path, and where the first move of one goes.
  std::unordered_map<LexState, Tail> rest;
  for (const Search::Node& node : search.nodes) {
    if (!machine_->lexer().Labels(node.state).empty()) {
      rest[node.state] = {};
    } else if (const auto known = tails_.find(node.state); known != tails_.end()) {
      rest[node.state] = known->second;
    }
  }
  for (size_t i = search.done.size(); i-- > 0;) {
    const Search::Node& node = search.nodes[search.done[i]];
    if (rest.contains(node.state)) continue;
    Tail tail{UINT32_MAX, kDeadState, ""};
    for (const Lexer::Move& move : node.moves) {
      const auto on = rest.find(move.target);
      if (on == rest.end()) continue;
      const auto bytes = static_cast<uint32_t>(move.text.size()) + on->second.bytes;
      if (bytes < tail.bytes) tail = {bytes, move.target, move.text};
    }
    if (tail.bytes < UINT32_MAX) rest[node.state] = std::move(tail);
  }
  const auto found = rest.find(state);
  if (found == rest.end()) return {};
  const uint32_t least = found->second.bytes;
  for (auto& [one, tail] : rest) {
    const Search::Node* node = search.Find(one);
    if (node->bytes + tail.bytes != least) continue;  // not known to be the shortest
    if (tails_.try_emplace(one, std::move(tail)).second) text_bytes_ += sizeof(Tail) + 32;
  }
  return {{labels[0], TailText(state)}};
}

std::string ShortestText::TailText(LexState state) const {
  std::string text;
  for (const Tail* tail = &tails_.at(state); tail->next != kDeadState;
       tail = &tails_.at(tail->next)) {
    text += tail->text;
  }
  return text;
}

uint64_t ShortestText::memory_bytes() const {
  return text_bytes_ + items_.size() * (sizeof(Item) + sizeof(Edge) + 64);
}

// The key that an object cannot be closed without, where no other need come before it.
std::optional<ShortestText::Way> ShortestText::RequiredKey(Position position) {
  const Machine::PositionInfo& info = *machine_->positions_[position];
  const bool after = info.kind == Machine::Kind::kObjectAfter;
  if (!after && info.kind != Machine::Kind::kObjectFirst) return std::nullopt;
  const Machine::ObjectState state = machine_->object_states_[info.a];
  if (machine_->MayClose(state)) return std::nullopt;
  const ObjectShape& shape = machine_->ir_->objects[state.shape];
  // In the declared order a required key passes by others that may be needed, too.
  if (!shape.any_order && (state.met != shape.obligations ||
                           state.count + machine_->LeftOf(state).required < shape.min_properties)) {
    return std::nullopt;
  }
  const auto& properties = shape.properties;
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
    edges->push_back({way.text, kNone, machine_->PositionOf(Kind::kSymbol, info.a + 1), 0, false});
    return;
  }
  const std::vector<Machine::Action> actions = machine_->After(position, way.label);
  for (const Machine::Action& action : actions) {
    Edge edge{way.text, kNone, kNone, way.label, action.remember};
    if (action.kind != Machine::Action::Kind::kPop) edge.next = action.next;
    if (action.kind == Machine::Action::Kind::kPush) {
      // Containers push JSON values, never rules.
      edge.value = machine_->PositionOf(Kind::kValue, NodeOf(action.node),
                                        static_cast<uint32_t>(BeforeOf(action.node)));
    }
    edges->push_back(std::move(edge));
  }
}

void ShortestText::AddSymbolEdges(uint32_t symbol, std::vector<Edge>* edges) {
  using Kind = Machine::Kind;
  const GrammarIr& ir = *machine_->ir_;
  const Symbol what = ir.symbols[symbol];
  if (what.kind == Symbol::Kind::kEnd) {
    edges->push_back({});
    return;
  }
  const Position next = machine_->PositionOf(Kind::kSymbol, symbol + 1);
  if (what.kind != Symbol::Kind::kNode) {
    const LexState lex = machine_->LexAt(machine_->PositionOf(Kind::kSymbol, symbol), nullptr);
    if (lex == kDeadState) return;
    for (const Way& way : WaysFrom(lex)) edges->push_back({way.text, kNone, next, 0, false});
  } else if (what.value < ir.values.size()) {
    const auto before = static_cast<uint32_t>(Lexer::Before::kNothing);
    edges->push_back({"", machine_->PositionOf(Kind::kValue, what.value, before), next, 0, false});
  } else {
    for (const uint32_t begin : ir.rules[what.value - ir.values.size()].alternatives) {
      edges->push_back({"", machine_->PositionOf(Kind::kSymbol, begin), next, 0, false});
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
    const std::vector<Way> ways = WaysFrom(lex);
    for (const Way& way : ways) {
      // Whatever may be closed is closed.
      const bool closes = std::any_of(ways.begin(), ways.end(),
                                      [](const Way& other) { return other.label == kLabelClose; });
      if (!closes || way.label == kLabelClose) AddEdges(way, position, &edges);
    }
  }
  return edges;
}

void ShortestText::ExplorePositions(std::vector<Position>* found) {
  for (size_t at = 0; at < found->size(); ++at) {
    if (items_.size() > kItemsMax) TooComplex(kItemsMax, "places");
    std::vector<Edge> edges = EdgesAt((*found)[at]);
    machine_->pool().Spend(16 + 16 * edges.size());
    for (const Edge& edge : edges) {
      text_bytes_ += edge.text.size();
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
    ExplorePositions(&found);
    Relax(found);
  } catch (...) {
    for (const Position added : found) items_.erase(added);
    throw;
  }
}

// Dijkstra's algorithm where an edge leads to two places (Knuth 1977): the cheapest edge of which
// all places are settled settles its own.
void ShortestText::Relax(const std::vector<Position>& found) {
  std::unordered_map<Position, std::vector<std::pair<Position, size_t>>> waiting;
  std::unordered_map<Position, std::vector<int>> num_open;
  std::unordered_map<Position, bool> is_settled;
  for (const Position position : found) is_settled.emplace(position, false);
  using Entry = std::tuple<Cost, Position, size_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  const auto offer = [&](Position position, size_t edge) {
    const Cost cost = CostOf(items_.at(position).edges[edge]);
    if (cost != kNever) queue.emplace(cost, position, edge);
  };
  for (const Position position : found) {
    const Item& item = items_.at(position);
    std::vector<int>& open = num_open[position];
    open.assign(item.edges.size(), 0);
    for (size_t i = 0; i < item.edges.size(); ++i) {
      for (const Position to : {item.edges[i].value, item.edges[i].next}) {
        if (to == kNone || !is_settled.contains(to)) continue;
        waiting[to].emplace_back(position, i);
        ++open[i];
      }
      if (open[i] == 0) offer(position, i);
    }
  }
  while (!queue.empty()) {
    const auto [cost, position, edge] = queue.top();
    queue.pop();
    if (is_settled.at(position)) continue;
    machine_->pool().Spend(8);
    is_settled[position] = true;
    items_.at(position).cost = cost;
    for (const auto& [other, index] : waiting[position]) {
      if (--num_open.at(other)[index] == 0) offer(other, index);
    }
  }
  // The first of the edges that cost the same, in whatever order they were settled.
  for (const Position position : found) {
    Item& item = items_.at(position);
    for (size_t i = item.edges.size(); i-- > 0;) {
      if (CostOf(item.edges[i]) == item.cost) item.best = i;
    }
  }
}

ShortestText::Cost ShortestText::CostAt(Position position) {
  Solve(position);
  return items_.at(position).cost;
}

// Of what is solved, or being solved.
ShortestText::Cost ShortestText::CostOf(const Edge& edge) {
  Cost cost = Sum(edge.text.size() * kByte, 1);
  for (const Position to : {edge.value, edge.next}) {
    if (to == kNone) continue;
    if (!items_.contains(to)) Solve(to);
    cost = Sum(cost, items_.at(to).cost);
  }
  return cost;
}

ShortestText::Cost ShortestText::CostOut(const Call* call) {
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
      if (stack.size() > kCallsMax) TooComplex(kCallsMax, "open containers and rules");
      continue;
    }
    stack.pop_back();
    if (found->second.done) continue;
    Exit exit;
    exit.done = true;
    for (size_t i = 0; i < top->returns.size(); ++i) {
      const Return& back = top->returns[i];
      const Cost outside = back.parent == nullptr ? 0 : exits_.at(back.parent).cost;
      const Cost cost = Sum(CostAt(back.position), outside);
      if (cost >= exit.cost) continue;
      exit.cost = cost;
      exit.best = i;
    }
    exits_[top] = exit;
  }
  return exits_.at(call).cost;
}

}  // namespace retort::grammar
