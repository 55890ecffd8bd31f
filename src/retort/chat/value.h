#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/base/error.h"
#include "retort/chat/text.h"

// Python's values as a template sees them. Everything a template can reach is immutable (as in the
// sandbox of Hugging Face) except namespaces, iterators, loops, cyclers and joiners.
namespace retort::jinja {

class Runtime;
class Value;
struct CallArgs;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kStr,
  kList,
  kTuple,
  kDict,
  kObject,  // everything else: see Object
};

// What a value refers to. `depth` bounds recursion over, and destruction of, nested values.
struct Heap {
  explicit Heap(int depth = 0) : depth(depth) {}
  virtual ~Heap();  // gives its bytes back
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  const int depth;
  Runtime* owner = nullptr;  // who counts it; null: nobody
  uint64_t num_bytes = 0;    // counted for it
};

// The levels of nesting of something `depth` levels deep. Throws beyond kRenderValueDepthMax.
int CheckedDepth(int depth);

struct StrHeap;
struct SequenceHeap;
struct DictHeap;
class Object;

// What takes memory (texts, lists, dicts, reasons) is made by a Runtime, which counts it.
class Value {
 public:
  Value() = default;  // undefined, without a reason
  static Value None(bool is_content = false) { return Value(Kind::kNone, is_content); }
  static Value Bool(bool value, bool is_content = false);
  static Value Int(int64_t value, bool is_content = false);
  static Value Float(double value, bool is_content = false);
  // Text of the template's source, or of this program: it is as long as what it was written in.
  static Value Literal(std::string_view text);
  static Value Of(std::shared_ptr<Object> object);

  Kind kind() const { return kind_; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_bool() const { return kind_ == Kind::kBool; }
  bool is_int() const { return kind_ == Kind::kInt; }
  bool is_integral() const { return is_int() || is_bool(); }  // Python's bool is an int
  bool is_float() const { return kind_ == Kind::kFloat; }
  bool is_number() const { return is_integral() || is_float(); }
  bool is_str() const { return kind_ == Kind::kStr; }
  bool is_list() const { return kind_ == Kind::kList; }
  bool is_tuple() const { return kind_ == Kind::kTuple; }
  bool is_dict() const { return kind_ == Kind::kDict; }
  bool is_object() const { return kind_ == Kind::kObject; }

  // Accessors demand the matching kind.
  bool bool_value() const { return scalar_.integer != 0; }
  int64_t int_value() const { return scalar_.integer; }  // of a bool too
  double float_value() const;                            // of any number
  const Text& text() const;
  const std::string& bytes() const { return text().bytes(); }
  const std::vector<Value>& items() const;  // of a list or a tuple
  bool is_group() const;                    // of a tuple
  const DictHeap& dict() const;
  Object& object() const;
  const std::shared_ptr<Heap>& heap() const { return heap_; }
  std::string undefined_message() const;
  bool is_missing_member() const;  // undefined, because another value lacks it

  int depth() const { return heap_ ? heap_->depth : 0; }

  // Where a scalar came from. A string knows this byte by byte; of a container it says nothing.
  bool is_scalar_content() const { return is_content_; }
  // True if any string or scalar in it, however deep, came from content. O(1).
  bool HasContent() const;

 private:
  friend class Runtime;
  Value(Kind kind, bool is_content) : kind_(kind), is_content_(is_content) {}
  Value(Kind kind, std::shared_ptr<Heap> heap) : kind_(kind), heap_(std::move(heap)) {}

  Kind kind_ = Kind::kUndefined;
  bool is_content_ = false;
  union {
    int64_t integer = 0;
    double real;
  } scalar_;
  std::shared_ptr<Heap> heap_;
};

struct MissingHeap : Heap {
  MissingHeap(std::string message, bool is_member)
      : message(std::move(message)), is_member(is_member) {}
  std::string message;
  bool is_member;
};

struct StrHeap : Heap {
  explicit StrHeap(Text text) : text(std::move(text)) {}
  Text text;
};

struct SequenceHeap : Heap {
  explicit SequenceHeap(std::vector<Value> items, bool is_group = false);
  const std::vector<Value> items;
  const bool has_content;
  const bool is_group;  // a tuple of `groupby`: has attributes `grouper` and `list`
};

// Insertion order, with an index by hash once it is worth having.
struct DictHeap : Heap {
  DictHeap(Runtime& runtime, std::vector<std::pair<Value, Value>> entries);
  // The value under `key`, or null. Throws if `key` is unhashable.
  const Value* Find(Runtime& runtime, const Value& key) const;
  const Value* Find(Runtime& runtime, std::string_view key) const;

  std::vector<std::pair<Value, Value>> items;
  bool has_content = false;

 private:
  void Index(Runtime& runtime, std::vector<std::pair<Value, Value>> entries);
  // The value of the first item with this hash for whose key `is_same` holds, or null.
  template <typename IsSame>
  const Value* FindHashed(size_t hash, IsSame is_same) const;

  std::vector<std::pair<size_t, size_t>> index_;  // (hash, position), sorted
};

// A one-way walk over values.
class Iterator {
 public:
  virtual ~Iterator() = default;
  // Stores the next value, or returns false at the end.
  virtual bool Next(Runtime& runtime, Value* value) = 0;
};

// A value with behaviour of its own: a function, a generator, a namespace, a range ...
class Object : public Heap {
 public:
  using Heap::Heap;
  virtual std::string TypeName() const = 0;
  virtual Text Repr(Runtime& runtime) const;
  virtual bool HasContent() const { return false; }
  virtual bool Truthy() const { return true; }
  // An attribute, or false if there is none.
  virtual bool GetAttribute(Runtime&, std::string_view, Value*) { return false; }
  virtual bool is_callable() const { return false; }
  virtual Value Call(Runtime& runtime, const CallArgs& args);
  // A fresh walk, or null if it cannot be iterated.
  virtual std::unique_ptr<Iterator> Iterate(const std::shared_ptr<Object>&) { return nullptr; }
  // Number of items, or -1 if len() is an error.
  virtual int64_t Length() const { return -1; }
  virtual bool is_sequence() const { return false; }   // has __getitem__ by index
  virtual Value At(int64_t) const { return Value(); }  // index checked against Length()
  // Forgets what it refers to. Called at the end of a render on what may be part of a cycle.
  virtual void Clear() {}
};

struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<Text, Value>> named;  // a name may be a row's text, by **
};

// Raises the error that Python would: Error{kInvalid}. The evaluator adds origin and line.
template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  Throw(ErrorCode::kInvalid, format, std::forward<Args>(args)...);
}

// Python's type(value).__name__.
std::string TypeName(const Value& value);
// A value in a message: its repr where that is short, else the beginning of it or its type.
std::string Shown(const Value& value);
std::string Shown(std::string_view text);
std::string ReprStr(std::string_view text);  // of a text that is known to be short
std::string ReprFloat(double value);
bool Truthy(const Value& value);
// len(), or -1 where Python raises TypeError. Of a str it walks over the text.
int64_t LengthOf(const Value& value);
// Throws "'X' object is not iterable" where Python does.
std::unique_ptr<Iterator> Iterate(const Value& value);
bool IsIterable(const Value& value);

// Walks over values. A value may hold another many times, so that a walk takes far longer than
// making it: each counts every value it comes to, and every byte of text that it looks at, before
// it goes on. Their recursion is bounded by kRenderValueDepthMax.

// Python's ==. Equal heaps are equal values, as Python's containers have it.
bool Equal(Runtime& runtime, const Value& a, const Value& b);
// Throws for unhashable values.
size_t Hash(Runtime& runtime, const Value& value);
// Python's str() and repr().
Text ToText(Runtime& runtime, const Value& value);
Text Repr(Runtime& runtime, const Value& value);
std::vector<Value> ToVector(Runtime& runtime, const Value& value);

}  // namespace retort::jinja
