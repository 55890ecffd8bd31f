#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "retort/grammar/grammar_ir.h"
#include "retort/grammar/lexer.h"

namespace retort::grammar {

using Position = uint32_t;

// Keys of an object, or items of an array, that must not come again: a list, newest first.
struct Seen {
  const Seen* before = nullptr;
  std::u32string text;   // a string's code points
  std::string scalar;    // else a scalar's JSON text
  bool unknown = false;  // what was read is not known here; see Machine::Close
};

struct Call;

// Where the machine goes on when a node is complete.
struct Return {
  Position position = 0;
  const Call* parent = nullptr;
  const Seen* seen = nullptr;
  bool operator==(const Return&) const = default;
};

// A node being read, with everything that waits for it: a vertex of the graph-structured stack.
struct Call {
  uint32_t node = 0;
  std::vector<Return> returns;
  uint64_t epoch = 0;  // of the closure that made it; 0: interned, never changes
  bool completed_empty = false;
};

// One way in which the bytes so far can be read: inside the token that `position` expects.
struct Configuration {
  LexState lex = kDeadState;
  Position position = 0;
  const Call* parent = nullptr;
  const Seen* seen = nullptr;
  bool operator==(const Configuration&) const = default;
};
// Lex state of a configuration whose token depends on a text that is not known here.
inline constexpr LexState kUncertainState = UINT32_MAX;

struct Configurations {
  std::vector<Configuration> list;
  bool complete = false;  // the whole text is in the language
  bool dead() const { return list.empty() && !complete; }
  void clear() {
    list.clear();
    complete = false;
  }
};

// Reads bytes against a grammar: a pushdown automaton over the lexer's tokens, all alternatives in
// step (generalised LL with a graph-structured stack: Scott and Johnstone 2010), so that left
// recursion and ambiguity are fine. Its states are made when they are first met, from the grammar's
// immutable form. Every state that is reached has a completion.
//
// Holds what requests with one grammar share. Lock `mutex()` around every call.
class Machine {
 public:
  explicit Machine(std::shared_ptr<const GrammarIr> ir, Spelling spelling = Spelling::kPlain);

  std::mutex& mutex() { return mutex_; }
  void Start(Configurations* out);
  // `text` ends with `byte` and reaches back at least to the beginning of every open token.
  void Step(const Configurations& from, uint8_t byte, std::string_view text, Configurations* out);
  // Where a configuration was when the token it is in ended.
  struct Closing {
    Position position = 0;
    uint32_t label = 0;
    const Call* parent = nullptr;
    const Seen* seen = nullptr;
    bool operator==(const Closing&) const = default;
  };
  // Adds the configurations after tokens that end at one place. `text` as above, or nullopt if it
  // is not known: what depends on it gets kUncertainState.
  void Close(std::span<const Closing> closings, std::optional<std::string_view> text,
             Configurations* out);
  // Whether something depends on the text of a token that ends so.
  bool Remembers(Position position, uint32_t label);
  // Whether any token may follow the one that `from` is in.
  bool MayContinue(const Configuration& from);
  Lexer& lexer() { return lexer_; }
  RegexPool& pool() { return pool_; }
  // Whether some token depends on text read before, so that it must be kept.
  bool needs_text() const { return needs_text_; }
  const Limits& limits() const { return ir_->limits; }
  uint64_t memory_bytes() const;
  bool over_budget() const { return memory_bytes() > ir_->limits.runtime_bytes_max; }

  // Whether, after the last Step, some token that was open before it still is.
  bool kept_open() const { return kept_open_; }
  // The least offset in `text` that was looked at since ForgetReach().
  size_t reach() const { return reach_; }
  void ForgetReach() { reach_ = SIZE_MAX; }

  // Vertices of the stack made between Mark and Release are dropped, unless they are interned.
  size_t Mark() const { return calls_.size(); }
  void Release(size_t mark) { calls_.resize(mark); }

 private:
  friend class ShortestText;

  enum class Kind : uint8_t {
    kAccept,
    kSymbol,
    kValue,
    kObjectFirst,
    kObjectAfter,
    kArrayFirst,
    kArrayAfter,
    kUniqueItem
  };
  struct Action {
    enum class Kind : uint8_t { kPop, kGoto, kPush } kind = Kind::kPop;
    bool remember = false;
    uint32_t node = 0;
    Position next = 0;
  };
  struct PositionInfo {
    Kind kind = Kind::kAccept;
    uint32_t a = 0;  // symbol, node, object state or array state
    uint32_t b = 0;  // of values: Lexer::Before
    LexState lex = UINT32_MAX;
    std::vector<std::pair<uint32_t, std::vector<Action>>> after;  // by label
  };
  struct ObjectState {
    uint32_t shape = 0;
    uint32_t cursor = 0;  // declared order: properties before it are past. Any order: set of names
    uint32_t count = 0;   // exact up to the bound that matters
    uint32_t met = 0;
    bool operator==(const ObjectState&) const = default;
  };
  struct ArrayState {
    uint32_t shape = 0;
    uint32_t index = 0;  // up to the prefix's length
    uint32_t count = 0;
    uint32_t counters[4] = {0, 0, 0, 0};
    bool operator==(const ArrayState&) const = default;
  };

  Position PositionOf(Kind kind, uint32_t a, uint32_t b = 0);
  LexState LexAt(Position position, const Seen* seen);
  LexState MakeLex(const PositionInfo& info, const Seen* seen);
  const std::vector<Action>& After(Position position, uint32_t label);
  std::vector<Action> MakeActions(const PositionInfo& info, uint32_t label);

  // Objects.
  uint32_t StateOf(const ObjectState& state);
  bool CanFinish(const ObjectState& state);
  bool MayClose(const ObjectState& state) const;
  // How a shape's properties are told apart by their keys.
  struct ShapeKeys {
    std::vector<uint32_t> labels;        // by property
    std::vector<RegexPool::Name> names;  // by property
    std::vector<uint32_t> sorted;        // properties by name
  };
  const ShapeKeys& KeysOfShape(uint32_t shape);
  uint32_t LabelOf(const std::u32string& name);
  // `property` kNoProperty: by a key that no property names.
  static constexpr uint32_t kNoProperty = UINT32_MAX;
  std::optional<ObjectState> Take(const ObjectState& state, uint32_t property, uint32_t meets);
  bool IsPast(const ObjectState& state, uint32_t property) const;
  struct PropertiesLeft {
    uint64_t available = 0;
    uint64_t required = 0;  // among them
  };
  PropertiesLeft LeftOf(const ObjectState& state) const;
  bool FitsAfter(const ObjectState& state, const PropertiesLeft& left) const;
  Regex KeysOf(const ObjectState& state, const Seen* seen);
  // A copy of the state: the known ones move as new ones join them.
  void AfterKey(ObjectState state, uint32_t label, std::vector<Action>* steps);
  // Arrays.
  uint32_t StateOf(const ArrayState& state);
  std::span<const ValueOption> OptionsAt(const ArrayState& state) const;
  std::optional<ArrayState> Take(const ArrayState& state, uint32_t meets) const;
  bool MayClose(const ArrayState& state) const;
  bool CanFinish(const ArrayState& state);
  void PushItems(ArrayState state, Lexer::Before before, std::vector<Action>* steps);
  Regex ListedWithout(Regex r, const Seen* seen);
  Regex WithoutSeen(Regex r, const Seen* seen, bool strings);

  // What one token's end leads to, followed until every way expects a byte.
  struct Closure {
    struct Pending {
      uint32_t node = 0;
      std::vector<Return> returns;
    };
    std::vector<Return> work;
    std::vector<Return> entered;
    std::vector<Call*> rules;     // pushed here
    std::vector<Pending> values;  // pushed here; the first num_values are in use
    size_t num_values = 0;
    size_t steps = 0;
    Configurations* out = nullptr;
    void Clear();
  };
  void BeginClosure(Configurations* out);
  void AddToClosure(const Configuration& from, uint32_t label,
                    std::optional<std::string_view> text);
  void Run();
  void Enter(const Return& item);
  void Pop(const Call* parent);
  void Push(uint32_t node, const Return& back);
  void Emit(const Configuration& configuration);
  const Call* MakeCall(uint32_t node, const std::vector<Return>& returns);
  const Seen* Remember(const Seen* before, std::optional<std::string_view> text);

  std::mutex mutex_;
  std::shared_ptr<const GrammarIr> ir_;
  RegexPool pool_;
  Lexer lexer_;
  bool needs_text_ = false;
  bool kept_open_ = false;
  size_t reach_ = SIZE_MAX;
  std::vector<std::unique_ptr<PositionInfo>> positions_;
  std::unordered_map<uint64_t, Position> position_index_;
  std::vector<ObjectState> object_states_;
  std::vector<ArrayState> array_states_;
  std::unordered_multimap<uint64_t, uint32_t> object_index_;
  std::unordered_multimap<uint64_t, uint32_t> array_index_;
  std::unordered_map<uint64_t, bool> array_can_finish_;
  std::vector<std::vector<bool>> name_sets_;  // any order: which names are past
  std::unordered_multimap<uint64_t, uint32_t> name_set_index_;
  std::unordered_map<uint32_t, ShapeKeys> shape_keys_;
  std::unordered_map<uint32_t, std::u32string> labels_;  // which name has which
  std::deque<Call> calls_;
  std::deque<Call> interned_;
  std::unordered_multimap<uint64_t, const Call*> call_index_;
  std::deque<Seen> seen_;
  std::unordered_multimap<uint64_t, const Seen*> seen_index_;
  Seen unknown_;
  std::unordered_map<uint64_t, LexState> seen_lex_;
  std::unordered_map<const Seen*, std::vector<std::pair<Regex, Regex>>> listed_without_;
  uint64_t seen_bytes_ = 0;
  uint64_t epoch_ = 0;
  Closure closure_;
};

}  // namespace retort::grammar
