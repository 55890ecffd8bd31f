// The stack: closures, calls, and what must be remembered. machine_json.cc has the states of
// containers.
#include "retort/grammar/machine.h"

#include <algorithm>

#include "retort/base/error.h"
#include "retort/grammar/json_text.h"
#include "retort/grammar/node_numbers.h"

namespace retort::grammar {
namespace {

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 29);
}

uint64_t Bits(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

}  // namespace

void Machine::Closure::Clear() {
  work.clear();
  entered.clear();
  rules.clear();
  num_values = 0;
  steps = 0;
}

Machine::Machine(std::shared_ptr<const GrammarIr> ir, Spelling spelling)
    : ir_(std::move(ir)), pool_(ir_->pool), lexer_(&pool_, ir_->limits, spelling) {
  for (const ObjectShape& shape : ir_->objects) needs_text_ |= !shape.classes.empty();
  for (const ArrayShape& shape : ir_->arrays) needs_text_ |= shape.unique;
  unknown_.unknown = true;
  PositionOf(Kind::kAccept, 0);
  name_sets_.emplace_back();
}

void Machine::Start(Configurations* out) {
  out->clear();
  BeginClosure(out);
  const NodeId root =
      ir_->root_is_rule ? static_cast<NodeId>(ir_->values.size()) + ir_->root : ir_->root;
  Push(NodeNumber(root, Lexer::Before::kNothing), {0, nullptr, nullptr});
  Run();
}

void Machine::Step(const Configurations& from, uint8_t byte, std::string_view text,
                   Configurations* out) {
  out->clear();
  kept_open_ = false;
  // One closure for all, so that what they begin at the same place is one vertex of the stack.
  BeginClosure(out);
  for (const Configuration& configuration : from.list) {
    const LexState next = lexer_.Step(configuration.lex, byte);
    if (next == kDeadState) continue;
    Configuration moved = configuration;
    moved.lex = next;
    if (!lexer_.Ranges(next).empty()) {
      kept_open_ = true;
      Emit(moved);
    }
    const size_t num_labels = lexer_.Labels(next).size();
    for (size_t i = 0; i < num_labels; ++i) AddToClosure(moved, lexer_.Labels(next)[i], text);
  }
  Run();
}

void Machine::BeginClosure(Configurations* out) {
  closure_.Clear();
  closure_.out = out;
  ++epoch_;
}

void Machine::Close(std::span<const Closing> closings, std::optional<std::string_view> text,
                    Configurations* out) {
  BeginClosure(out);
  for (const Closing& closing : closings) {
    AddToClosure({kDeadState, closing.position, closing.parent, closing.seen}, closing.label, text);
  }
  Run();
}

bool Machine::Remembers(Position position, uint32_t label) {
  if (positions_[position]->kind == Kind::kSymbol) return false;
  const auto& actions = After(position, label);
  return std::any_of(actions.begin(), actions.end(), [](const Action& a) { return a.remember; });
}

void Machine::AddToClosure(const Configuration& from, uint32_t label,
                           std::optional<std::string_view> text) {
  pool_.Spend(8);
  if (positions_[from.position]->kind == Kind::kSymbol) {
    Enter({PositionOf(Kind::kSymbol, positions_[from.position]->a + 1), from.parent, from.seen});
  } else {
    for (const Action& action : After(from.position, label)) {
      const Seen* seen = action.remember ? Remember(from.seen, text) : from.seen;
      switch (action.kind) {
        case Action::Kind::kPop:
          Pop(from.parent);
          break;
        case Action::Kind::kGoto:
          Enter({action.next, from.parent, seen});
          break;
        case Action::Kind::kPush:
          Push(action.node, {action.next, from.parent, seen});
          break;
      }
    }
  }
}

bool Machine::MayContinue(const Configuration& from) {
  if (positions_[from.position]->kind != Kind::kSymbol) return true;
  Configurations to;
  const size_t mark = Mark();
  const Closing closing{from.position, 0, from.parent, from.seen};
  Close({&closing, 1}, std::nullopt, &to);
  Release(mark);
  return !to.list.empty();
}

void Machine::Emit(const Configuration& configuration) {
  auto& list = closure_.out->list;
  pool_.Spend(1 + list.size() / 8);
  if (std::find(list.begin(), list.end(), configuration) != list.end()) return;
  if (list.size() >= ir_->limits.configurations_max) {
    Throw(ErrorCode::kExhausted, "the grammar is ambiguous in more than {} ways at once",
          ir_->limits.configurations_max);
  }
  list.push_back(configuration);
}

// Follows the work list, then makes calls of the values that were pushed: they expect a byte each,
// so nothing can return from them here.
void Machine::Run() {
  while (!closure_.work.empty()) {
    const Return item = closure_.work.back();
    closure_.work.pop_back();
    pool_.Spend(4);
    if (++closure_.steps > ir_->limits.closure_steps_max) {
      Throw(ErrorCode::kExhausted, "one byte takes the grammar more than {} steps",
            ir_->limits.closure_steps_max);
    }
    const PositionInfo& info = *positions_[item.position];
    if (info.kind == Kind::kAccept) {
      closure_.out->complete = true;
      continue;
    }
    if (info.kind != Kind::kSymbol) {
      const LexState lex = LexAt(item.position, item.seen);
      if (lex != kDeadState) Emit({lex, item.position, item.parent, item.seen});
      continue;
    }
    const Symbol symbol = ir_->symbols[info.a];
    const uint32_t index = info.a;
    switch (symbol.kind) {
      case Symbol::Kind::kEnd:
        Pop(item.parent);
        break;
      case Symbol::Kind::kBytes:
      case Symbol::Kind::kText: {
        const LexState lex = LexAt(item.position, nullptr);
        if (lex == kDeadState) break;
        if (!lexer_.Ranges(lex).empty()) Emit({lex, item.position, item.parent, item.seen});
        if (lexer_.Accepts(lex)) {
          Enter({PositionOf(Kind::kSymbol, index + 1), item.parent, item.seen});
        }
        break;
      }
      case Symbol::Kind::kNode:
        Push(NodeNumber(symbol.value, Lexer::Before::kNothing),
             {PositionOf(Kind::kSymbol, index + 1), item.parent, item.seen});
        break;
    }
  }
  for (size_t i = 0; i < closure_.num_values; ++i) {
    const Closure::Pending& pending = closure_.values[i];
    const Position position = PositionOf(Kind::kValue, NodeOf(pending.node),
                                         static_cast<uint32_t>(BeforeOf(pending.node)));
    const LexState lex = LexAt(position, nullptr);
    if (lex == kDeadState) continue;
    Emit({lex, position, MakeCall(pending.node, pending.returns), nullptr});
  }
}

void Machine::Enter(const Return& item) {
  if (positions_[item.position]->kind == Kind::kSymbol) {
    auto& entered = closure_.entered;
    pool_.Spend(1 + entered.size() / 8);
    if (std::find(entered.begin(), entered.end(), item) != entered.end()) return;
    entered.push_back(item);
  }
  closure_.work.push_back(item);
}

void Machine::Pop(const Call* parent) {
  if (parent->epoch == epoch_) const_cast<Call*>(parent)->completed_empty = true;
  for (size_t i = 0; i < parent->returns.size(); ++i) Enter(parent->returns[i]);
}

void Machine::Push(uint32_t node, const Return& back) {
  const NodeId id = NodeOf(node);
  pool_.Spend(2 + (closure_.num_values + closure_.rules.size()) / 8);
  if (id < ir_->values.size()) {
    for (size_t i = 0; i < closure_.num_values; ++i) {
      auto& pending = closure_.values[i];
      if (pending.node != node) continue;
      pool_.Spend(pending.returns.size() / 8);
      if (std::find(pending.returns.begin(), pending.returns.end(), back) ==
          pending.returns.end()) {
        pending.returns.push_back(back);
      }
      return;
    }
    if (closure_.num_values == closure_.values.size()) closure_.values.emplace_back();
    auto& pending = closure_.values[closure_.num_values++];
    pending.node = node;
    pending.returns.assign(1, back);
    return;
  }
  Call* call = nullptr;
  for (Call* made : closure_.rules) {
    if (made->node == node) call = made;
  }
  const bool is_new = call == nullptr;
  if (is_new) {
    call = &calls_.emplace_back();
    call->node = node;
    call->epoch = epoch_;
    closure_.rules.push_back(call);
  }
  const auto add = [&](const Return& item) {
    auto& returns = call->returns;
    pool_.Spend(1 + returns.size() / 8);
    if (std::find(returns.begin(), returns.end(), item) != returns.end()) return;
    returns.push_back(item);
    if (call->completed_empty) Enter(item);
  };
  // A call at the end of a rule returns to where the rule itself returns, so that right recursion
  // does not grow the stack. Not into a call made here, which may still get more returns.
  const PositionInfo& after = *positions_[back.position];
  if (after.kind == Kind::kSymbol && ir_->symbols[after.a].kind == Symbol::Kind::kEnd &&
      back.parent->epoch != epoch_) {
    for (const Return& item : back.parent->returns) add(item);
  } else {
    add(back);
  }
  if (!is_new) return;
  for (const uint32_t symbol : ir_->rules[id - ir_->values.size()].alternatives) {
    Enter({PositionOf(Kind::kSymbol, symbol), call, nullptr});
  }
}

// Equal stacks of JSON values are one, so that masks found for one request serve the next.
const Call* Machine::MakeCall(uint32_t node, const std::vector<Return>& returns) {
  const bool intern = std::all_of(returns.begin(), returns.end(), [](const Return& item) {
    return item.parent == nullptr || item.parent->epoch == 0;
  });
  if (!intern) {
    Call& call = calls_.emplace_back();
    call.node = node;
    call.returns = returns;
    call.epoch = epoch_;
    return &call;
  }
  uint64_t hash = node;
  for (const Return& item : returns) {
    hash = Mix(Mix(Mix(hash, item.position), Bits(item.parent)), Bits(item.seen));
  }
  const auto [begin, end] = call_index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (it->second->node == node && it->second->returns == returns) return it->second;
  }
  Call& call = interned_.emplace_back();
  call.node = node;
  call.returns = returns;
  call_index_.emplace(hash, &call);
  return &call;
}

const Seen* Machine::Remember(const Seen* before, std::optional<std::string_view> text) {
  if (!text || (before != nullptr && before->unknown)) return &unknown_;
  Seen seen;
  seen.before = before;
  const std::string_view token = LastJsonScalar(*text);
  reach_ = std::min(reach_, text->size() - token.size());
  if (token.starts_with('"')) {
    seen.text = DecodeJsonString(token);
  } else {
    seen.scalar = token;
  }
  uint64_t hash = Mix(Bits(before), std::hash<std::string>{}(seen.scalar));
  for (const char32_t c : seen.text) hash = Mix(hash, c);
  const auto [begin, end] = seen_index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (it->second->before == before && it->second->text == seen.text &&
        it->second->scalar == seen.scalar) {
      return it->second;
    }
  }
  seen_bytes_ += sizeof(Seen) + seen.text.size() * 4 + seen.scalar.size() + 64;
  seen_.push_back(std::move(seen));
  seen_index_.emplace(hash, &seen_.back());
  return &seen_.back();
}

Position Machine::PositionOf(Kind kind, uint32_t a, uint32_t b) {
  const uint64_t key = uint64_t{a} << 16 | b << 8 | static_cast<uint8_t>(kind);
  const auto [it, is_new] = position_index_.try_emplace(key, 0);
  if (is_new) {
    if (positions_.size() >= ir_->limits.positions_max) {
      position_index_.erase(it);
      Throw(ErrorCode::kExhausted, "the grammar needs more than {} positions",
            ir_->limits.positions_max);
    }
    auto info = std::make_unique<PositionInfo>();
    info->kind = kind;
    info->a = a;
    info->b = b;
    it->second = static_cast<Position>(positions_.size());
    positions_.push_back(std::move(info));
  }
  return it->second;
}

const std::vector<Machine::Action>& Machine::After(Position position, uint32_t label) {
  PositionInfo& info = *positions_[position];
  for (const auto& [known, actions] : info.after) {
    if (known == label) return actions;
  }
  auto actions = MakeActions(info, label);
  return info.after.emplace_back(label, std::move(actions)).second;
}

uint64_t Machine::memory_bytes() const {
  return pool_.memory_bytes() + lexer_.memory_bytes() + positions_.size() * 256 +
         object_states_.size() * 64 + array_states_.size() * 96 +
         (calls_.size() + interned_.size()) * 128 + seen_bytes_ + seen_lex_.size() * 48 +
         listed_without_.size() * 96 + (shape_keys_.size() + labels_.size()) * 128;
}

}  // namespace retort::grammar
