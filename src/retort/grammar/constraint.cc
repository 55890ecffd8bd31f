#include "retort/grammar/constraint.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <mutex>

#include "retort/base/error.h"
#include "retort/grammar/mask_walk.h"
#include "retort/grammar/shortest_text.h"
#include "retort/grammar/vocabulary.h"

namespace retort {
namespace grammar {

// What the requests of one grammar share.
struct ConstraintRuntime {
  ConstraintRuntime(std::shared_ptr<const GrammarIr> ir,
                    std::shared_ptr<const Vocabulary> shared_vocabulary,
                    std::shared_ptr<std::atomic<uint64_t>> bytes_noted)
      : machine(std::move(ir)),
        vocabulary(std::move(shared_vocabulary)),
        walk(&machine, *vocabulary, &memo),
        bytes(std::move(bytes_noted)) {}

  Machine machine;
  std::shared_ptr<const Vocabulary> vocabulary;
  MaskMemo memo;
  MaskWalk walk;
  ShortestText shortest{&machine};
  size_t bytes_max = 0;
  std::shared_ptr<std::atomic<uint64_t>> bytes;  // what it held when it was looked at last

  // The machine's lock is held by the caller.
  uint64_t NoteBytes() {
    const uint64_t automata = machine.memory_bytes();
    const uint64_t shortest_bytes = shortest.memory_bytes();
    *bytes = automata + shortest_bytes + memo.whole_bytes + memo.entry_bytes;
    return automata + shortest_bytes;
  }
};

struct ConstraintPoint {
  Configurations configurations;
  std::string tail;
  bool finished = false;
  int num_committed = 0;
  int32_t token = -1;    // the one committed last
  size_t num_bytes = 0;  // of all that were committed
  std::shared_ptr<const ConstraintPoint> before;

  ConstraintPoint() = default;
  ConstraintPoint(const ConstraintPoint&) = delete;
  ConstraintPoint& operator=(const ConstraintPoint&) = delete;
  ~ConstraintPoint() {
    // One by one: a long generation's chain must not be taken down recursively.
    while (before != nullptr && before.use_count() == 1) {
      auto next = std::move(const_cast<ConstraintPoint*>(before.get())->before);
      before = std::move(next);
    }
  }
};

namespace {

constexpr size_t kWholeMaskBytesMax = 24u << 20;
constexpr size_t kSparseMaskIdsMax = 512;

uint64_t HashOf(const Configurations& configurations) {
  uint64_t hash = configurations.list.size();
  for (const Configuration& c : configurations.list) {
    for (const uint64_t word :
         {uint64_t{c.lex} << 32 | c.position, uint64_t{reinterpret_cast<uintptr_t>(c.parent)},
          uint64_t{reinterpret_cast<uintptr_t>(c.seen)}}) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
      hash ^= hash >> 29;
    }
  }
  return hash;
}

bool IsInterned(const Configurations& configurations) {
  return std::all_of(
      configurations.list.begin(), configurations.list.end(),
      [](const Configuration& c) { return c.parent != nullptr && c.parent->epoch == 0; });
}

constexpr size_t kDescribedCallsMax = 64;
constexpr size_t kDescribedBytesMax = 8192;

// Stacks of rules are made anew for every byte: equal ones are known by how they are built. Empty
// if that takes too long to say.
std::string StructureOf(const Configurations& configurations) {
  std::string text;
  std::vector<const Call*> calls;
  const auto put = [&](uint64_t word) {
    text.append(reinterpret_cast<const char*>(&word), sizeof word);
  };
  const auto put_frame = [&](Position position, const Call* parent, const Seen* seen) {
    put(reinterpret_cast<uintptr_t>(seen));
    if (parent == nullptr || parent->epoch == 0) {
      put(position);
      put(reinterpret_cast<uintptr_t>(parent));
      return;
    }
    const auto known = std::find(calls.begin(), calls.end(), parent);
    put(uint64_t{1} << 32 | position);
    put(static_cast<uint64_t>(known - calls.begin()));
    if (known == calls.end()) calls.push_back(parent);
  };
  for (const Configuration& c : configurations.list) {
    put(c.lex);
    put_frame(c.position, c.parent, c.seen);
    if (calls.size() > kDescribedCallsMax || text.size() > kDescribedBytesMax) return {};
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    const Call& call = *calls[i];
    put(uint64_t{call.node} << 32 | call.returns.size());
    if (call.returns.size() > kDescribedBytesMax / 24) return {};
    for (const Return& back : call.returns) put_frame(back.position, back.parent, back.seen);
    if (calls.size() > kDescribedCallsMax || text.size() > kDescribedBytesMax) return {};
  }
  return text;
}

// Where a mask is looked up, and kept.
struct WholeKey {
  uint64_t hash = 0;
  std::string structure;  // if the stack is not interned
  bool is_memo = true;

  explicit WholeKey(const Configurations& from) {
    if (IsInterned(from)) {
      hash = HashOf(from);
      return;
    }
    structure = StructureOf(from);
    is_memo = !structure.empty();
    hash = std::hash<std::string>{}(structure);
  }

  const MaskMemo::Whole* Find(const MaskMemo& memo, const Configurations& from) const {
    if (!is_memo) return nullptr;
    const auto [begin, end] = memo.whole.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      const MaskMemo::Whole& whole = it->second;
      if (structure.empty() ? whole.structure.empty() && whole.key == from.list
                            : whole.structure == structure) {
        return &whole;
      }
    }
    return nullptr;
  }
};

void KeepWhole(MaskMemo* memo, WholeKey key, const Configurations& from,
               std::span<const uint32_t> bits) {
  MaskMemo::Whole whole;
  if (key.structure.empty()) whole.key = from.list;
  whole.structure = std::move(key.structure);
  // As many ids as words would take more room than the bits.
  size_t count = 0;
  for (size_t i = 0; i < bits.size() && count <= kSparseMaskIdsMax; ++i) {
    for (uint32_t word = bits[i]; word != 0; word &= word - 1) ++count;
  }
  whole.is_sparse = count <= kSparseMaskIdsMax;
  if (!whole.is_sparse) {
    whole.bits.assign(bits.begin(), bits.end());
  } else {
    for (size_t i = 0; i < bits.size(); ++i) {
      for (uint32_t word = bits[i]; word != 0; word &= word - 1) {
        whole.ids.push_back(static_cast<int32_t>(i * 32 + std::countr_zero(word)));
      }
    }
  }
  const size_t bytes = sizeof(whole) + whole.key.size() * sizeof(Configuration) +
                       whole.structure.size() + whole.bits.size() * 4 + whole.ids.size() * 4 + 64;
  if (memo->whole_bytes + bytes > kWholeMaskBytesMax) {
    memo->whole.clear();
    memo->whole_bytes = 0;
  }
  memo->whole_bytes += bytes;
  memo->whole.emplace(key.hash, std::move(whole));
}

// What is put on the machine's stacks while it lives is taken away again.
class Excursion {
 public:
  explicit Excursion(Machine& machine) : machine_(machine), mark_(machine.Mark()) {}
  Excursion(const Excursion&) = delete;
  Excursion& operator=(const Excursion&) = delete;
  ~Excursion() { machine_.Release(mark_); }

 private:
  Machine& machine_;
  size_t mark_;
};

}  // namespace
}  // namespace grammar

using grammar::Configurations;
using grammar::ConstraintPoint;
using grammar::ConstraintRuntime;

// Takes the work that is done while it lives from the state's credit, and stops what goes beyond
// it. The machine's lock is held as long.
class ConstraintState::Meter {
 public:
  explicit Meter(const ConstraintState& state)
      : pool_(state.runtime_->machine.pool()), credit_(state.credit_) {
    pool_.AllowWork(credit_);
  }
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;
  ~Meter() {
    credit_ -= std::min(credit_, pool_.work());
    pool_.AllowWork(UINT64_MAX);
  }

 private:
  grammar::RegexPool& pool_;
  uint64_t& credit_;
};

// --- Constraint ---

struct Constraint::Shared {
  std::mutex mutex;
  std::shared_ptr<ConstraintRuntime> runtime;
  uint64_t ir_bytes = 0;
  std::shared_ptr<std::atomic<uint64_t>> bytes = std::make_shared<std::atomic<uint64_t>>(0);
};

Constraint::Constraint(std::shared_ptr<const Grammar> grammar,
                       std::shared_ptr<const grammar::Vocabulary> vocabulary)
    : grammar_(std::move(grammar)),
      vocabulary_(std::move(vocabulary)),
      shared_(std::make_unique<Shared>()) {
  shared_->ir_bytes = grammar_->ir()->pool.memory_bytes();
}

Constraint::~Constraint() = default;

size_t Constraint::num_mask_words() const { return vocabulary_->num_mask_words(); }

uint64_t Constraint::memory_bytes() const { return shared_->ir_bytes + *shared_->bytes; }

std::shared_ptr<ConstraintRuntime> Constraint::Runtime() const {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->runtime != nullptr) {
    const std::lock_guard machine_lock(shared_->runtime->machine.mutex());
    // Its requests keep the old one until they end.
    if (!shared_->runtime->machine.over_budget()) return shared_->runtime;
  }
  shared_->runtime =
      std::make_shared<ConstraintRuntime>(grammar_->ir(), vocabulary_, shared_->bytes);
  shared_->runtime->bytes_max =
      grammar_->ir()->limits.runtime_bytes_max + grammar_->ir()->limits.session_bytes_max;
  return shared_->runtime;
}

ConstraintState Constraint::Start() const {
  auto runtime = Runtime();
  auto point = std::make_shared<ConstraintPoint>();
  ConstraintState state(runtime, point);
  const std::lock_guard lock(runtime->machine.mutex());
  const ConstraintState::Meter meter(state);
  runtime->machine.Start(&point->configurations);
  runtime->NoteBytes();
  return state;
}

// --- ConstraintState ---

ConstraintState::ConstraintState(std::shared_ptr<ConstraintRuntime> runtime,
                                 std::shared_ptr<const ConstraintPoint> point)
    : runtime_(std::move(runtime)),
      point_(std::move(point)),
      credit_(runtime_->machine.limits().work_max) {}

void ConstraintState::Mask(std::span<uint32_t> bits) const {
  const grammar::Vocabulary& vocabulary = *runtime_->vocabulary;
  if (bits.size() != vocabulary.num_mask_words()) {
    Throw(ErrorCode::kInternal, "a mask of {} words was given, the vocabulary needs {}",
          bits.size(), vocabulary.num_mask_words());
  }
  const Configurations& from = point_->configurations;
  const auto allow_end = [&] {
    if (!from.complete) return;
    for (const int32_t id : vocabulary.end_ids()) bits[id >> 5] |= 1u << (id & 31);
  };
  if (point_->finished || from.list.empty()) {
    std::fill(bits.begin(), bits.end(), 0);
    if (!point_->finished) allow_end();
    return;
  }
  const std::lock_guard lock(runtime_->machine.mutex());
  grammar::WholeKey key(from);
  if (const auto* whole = key.Find(runtime_->memo, from)) {
    if (whole->is_sparse) {
      std::fill(bits.begin(), bits.end(), 0);
      for (const int32_t id : whole->ids) bits[id >> 5] |= 1u << (id & 31);
    } else {
      std::copy(whole->bits.begin(), whole->bits.end(), bits.begin());
    }
    allow_end();
    return;
  }
  std::fill(bits.begin(), bits.end(), 0);
  const Meter meter(*this);
  const grammar::Excursion excursion(runtime_->machine);
  runtime_->walk.Run(from, point_->tail, bits);
  if (key.is_memo && !runtime_->walk.depends_on_tail()) {
    grammar::KeepWhole(&runtime_->memo, std::move(key), from, bits);
  }
  allow_end();
}

// The machine's lock is held by the caller.
bool ConstraintState::Advance(std::string_view bytes, ConstraintPoint* to) const {
  grammar::Machine& machine = runtime_->machine;
  const bool keep_text = machine.needs_text();
  to->tail = point_->tail;
  Configurations other;
  const Configurations* from = &point_->configurations;
  for (size_t i = 0; i < bytes.size(); ++i) {
    Configurations* next = from == &other ? &to->configurations : &other;
    if (keep_text) to->tail += bytes[i];
    machine.Step(*from, static_cast<uint8_t>(bytes[i]), to->tail, next);
    if (next->dead()) return false;
    if (!machine.kept_open()) to->tail.clear();
    from = next;
  }
  if (from == &other) to->configurations = std::move(other);
  return true;
}

bool ConstraintState::Commit(int32_t token) {
  const grammar::Vocabulary& vocabulary = *runtime_->vocabulary;
  if (token < 0 || token >= vocabulary.size() || point_->finished) return false;
  auto next = std::make_shared<ConstraintPoint>();
  if (vocabulary.IsEnd(token)) {
    if (!point_->configurations.complete) return false;
    next->finished = true;
    next->configurations.complete = true;
  } else {
    const std::string_view text = vocabulary.Text(token);
    if (text.empty()) return false;
    const std::lock_guard lock(runtime_->machine.mutex());
    if (point_->num_committed % 64 == 63 && runtime_->NoteBytes() > runtime_->bytes_max) {
      Throw(ErrorCode::kExhausted, "the constraint's automata need more than {} bytes",
            runtime_->bytes_max);
    }
    credit_ = std::min(credit_ + runtime_->machine.limits().work_per_token,
                       runtime_->machine.limits().work_max);
    const Meter meter(*this);
    const size_t mark = runtime_->machine.Mark();
    bool alive = false;
    try {
      alive = Advance(text, next.get());
    } catch (...) {
      runtime_->machine.Release(mark);
      throw;
    }
    if (!alive) {
      runtime_->machine.Release(mark);
      return false;
    }
  }
  next->num_committed = point_->num_committed + 1;
  next->token = token;
  next->num_bytes = point_->num_bytes + (next->finished ? 0 : vocabulary.Text(token).size());
  next->before = point_;
  point_ = std::move(next);
  return true;
}

bool ConstraintState::Allows(int32_t token) const {
  ConstraintState copy = *this;
  return copy.Commit(token);
}

size_t ConstraintState::num_mask_words() const { return runtime_->vocabulary->num_mask_words(); }
bool ConstraintState::IsComplete() const { return point_->configurations.complete; }
bool ConstraintState::MustEnd() const { return point_->configurations.list.empty(); }
bool ConstraintState::IsFinished() const { return point_->finished; }
int ConstraintState::num_committed() const { return point_->num_committed; }

void ConstraintState::Rollback(int num_tokens) {
  if (num_tokens < 0 || num_tokens > point_->num_committed) {
    Throw(ErrorCode::kInvalid, "cannot go back {} tokens of {}", num_tokens, point_->num_committed);
  }
  for (int i = 0; i < num_tokens; ++i) point_ = point_->before;
}

std::string ConstraintState::ForcedBytes() const {
  std::string forced;
  if (point_->finished) return forced;
  const std::lock_guard lock(runtime_->machine.mutex());
  const Meter meter(*this);
  grammar::Machine& machine = runtime_->machine;
  const grammar::Excursion excursion(machine);
  Configurations from = point_->configurations;
  Configurations to;
  std::string tail = point_->tail;
  while (forced.size() < kForcedBytesMax && !from.complete) {
    int byte = -1;
    bool unique = true;
    for (const auto& configuration : from.list) {
      for (const grammar::ByteRange& range : machine.lexer().Ranges(configuration.lex)) {
        unique = unique && range.first == range.last && (byte < 0 || byte == range.first);
        byte = range.first;
      }
    }
    if (!unique || byte < 0) break;
    forced += static_cast<char>(byte);
    tail += static_cast<char>(byte);
    machine.Step(from, static_cast<uint8_t>(byte), tail, &to);
    std::swap(from, to);
  }
  return forced;
}

std::vector<int32_t> ConstraintState::ForcedTokens() const {
  const grammar::Vocabulary& vocabulary = *runtime_->vocabulary;
  const std::string forced = ForcedBytes();
  std::vector<int32_t> tokens;
  if (forced.empty() || vocabulary.tokenizer() == nullptr) return tokens;
  const auto ids = TokensOf(forced);
  // Only what spells exactly the forced bytes.
  size_t at = 0;
  for (const int32_t id : ids) {
    const std::string_view text = vocabulary.Text(id);
    if (text.empty() || forced.compare(at, text.size(), text) != 0) break;
    at += text.size();
    tokens.push_back(id);
  }
  // The last one, and any whose bytes a longer token could begin with, may be cut otherwise once
  // the text goes on.
  if (!tokens.empty()) {
    at -= vocabulary.Text(tokens.back()).size();
    tokens.pop_back();
  }
  const auto crosses = [&](std::string_view rest) {
    const grammar::TokenTrie& trie = vocabulary.trie();
    uint32_t node = grammar::TokenTrie::kRoot;
    for (const char c : rest) {
      const auto children = trie.Children(trie.node(node));
      const auto it = std::find_if(children.begin(), children.end(), [&](const auto& child) {
        return child.byte == static_cast<uint8_t>(c);
      });
      if (it == children.end()) return false;
      node = static_cast<uint32_t>(trie.node(node).first_child + (it - children.begin()));
    }
    return trie.node(node).num_children > 0;
  };
  while (!tokens.empty()) {
    const size_t size = vocabulary.Text(tokens.back()).size();
    if (!crosses(std::string_view(forced).substr(at - size))) break;
    at -= size;
    tokens.pop_back();
  }
  return tokens;
}

bool ConstraintState::IsCompleteAt(size_t num_bytes) const {
  std::shared_ptr<const ConstraintPoint> at = point_;
  int32_t next = -1;  // the token after `at`
  for (; at->num_bytes > num_bytes; at = at->before) next = at->token;
  if (at->num_bytes == num_bytes) return at->configurations.complete;
  const std::string_view begun =
      runtime_->vocabulary->Text(next).substr(0, num_bytes - at->num_bytes);
  const std::lock_guard lock(runtime_->machine.mutex());
  const ConstraintState from(runtime_, std::move(at));
  const Meter meter(from);
  const grammar::Excursion excursion(runtime_->machine);
  ConstraintPoint to;
  return from.Advance(begun, &to) && to.configurations.complete;
}

std::vector<int32_t> ConstraintState::TokensOf(std::string_view text) const {
  const grammar::Vocabulary& vocabulary = *runtime_->vocabulary;
  if (vocabulary.tokenizer() == nullptr) return vocabulary.LongestTokens(text);
  // Behind a line feed, with which next to no vocabulary merges other text: some tokenizers put a
  // space at the front, which is not there in the middle of a text.
  auto ids = vocabulary.tokenizer()->Encode("\n" + std::string(text), false);
  size_t num_bytes = 0;
  for (const int32_t id : ids) num_bytes += vocabulary.Text(id).size();
  size_t before = num_bytes - std::min(num_bytes, text.size());
  auto first = ids.begin();
  for (; before > 0 && first != ids.end(); ++first) {
    const size_t size = vocabulary.Text(*first).size();
    if (size > before) break;
    before -= size;
  }
  ids.erase(ids.begin(), first);
  std::string spelt;
  for (const int32_t id : ids) spelt += vocabulary.Text(id);
  return spelt == text ? ids : vocabulary.LongestTokens(text);
}

std::optional<std::string> ConstraintState::ClosingText() const {
  if (point_->finished || point_->configurations.complete) return std::string();
  const std::lock_guard lock(runtime_->machine.mutex());
  const Meter meter(*this);
  const grammar::Excursion stacks(runtime_->machine);
  const auto text = runtime_->shortest.After(point_->configurations, point_->tail);
  // Only what must not repeat can be at odds with a shortest text.
  if (!text || !runtime_->machine.needs_text()) return text;
  ConstraintPoint to;
  return Advance(*text, &to) && to.configurations.complete ? text : std::nullopt;
}

std::shared_ptr<const grammar::Vocabulary> MakeVocabulary(
    std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> end_ids) {
  return std::make_shared<const grammar::Vocabulary>(std::move(tokenizer), end_ids);
}

}  // namespace retort
