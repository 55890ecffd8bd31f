#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/json.h"
#include "retort/chat/span.h"

namespace retort {

// Bounds of a template and of one render. A template is input from outside (a checkpoint, a
// pipeline file): what passes one of them ends in Error{kExhausted}, never in a full stack or a
// full memory.
inline constexpr size_t kTemplateSourceBytesMax = 1 << 20;
inline constexpr int kTemplateParseDepthMax = 200;  // brackets, blocks and unary operators
inline constexpr int kTemplateExpressionDepthMax =
    500;                                          // of the tree; a chain a + b + c counts too
inline constexpr int kRenderDepthMax = 2000;      // nested evaluations, macro calls included
inline constexpr int kRenderValueDepthMax = 300;  // a list in a list in a list ...
inline constexpr uint64_t kRenderStepsMax =
    50'000'000;  // evaluations, items and 16-byte pieces of text
inline constexpr size_t kRenderTextBytesMax = 64 << 20;  // of the output and of any one string
inline constexpr size_t kRenderItemsMax = 1 << 20;       // of any one list, tuple or dict
inline constexpr uint64_t kRenderBytesMax = 256 << 20;  // of all values that a render holds at once
inline constexpr int64_t kRenderRangeLengthMax = 100'000;  // Python's sandbox has the same
inline constexpr size_t kRenderMessageBytesMax = 4096;     // of an error: a template can write one

struct TemplateOptions {
  // The environment of Hugging Face's chat templates. For task prompts, all three are usually
  // false.
  bool trim_blocks = true;             // drop the newline after a block or comment
  bool lstrip_blocks = true;           // drop white space before a block that begins a line
  bool keep_trailing_newline = false;  // else one newline at the very end of the source is dropped

  // A prompt written by a user of pipelines: text as it stands in the file.
  static TemplateOptions ForPrompt() { return {false, false, true}; }
};

// What a render took of its budget.
struct RenderCost {
  uint64_t steps = 0;
  uint64_t bytes = 0;  // held at once, at most
};

struct RenderOptions {
  // What `strftime_now` sees, in the zone the caller chose. Without it that function is an error,
  // so that no prompt depends on when it was rendered unless somebody asked for it.
  std::optional<std::chrono::local_seconds> clock;
  // Top-level names of the context whose strings are trusted as if written in the template
  // (bos_token).
  std::vector<std::string_view> template_names;
  // Jinja2 prints an attribute that a value lacks as nothing. With this it is an error.
  bool members_must_exist = false;
  uint64_t steps_max = kRenderStepsMax;
  size_t text_bytes_max = kRenderTextBytesMax;
  uint64_t bytes_max = kRenderBytesMax;
  // Ends the render within milliseconds, with Error{kCancelled}.
  std::stop_token stop;
  RenderCost* cost = nullptr;  // set at the end, whether the render succeeds or not
};

namespace jinja {
struct Program;
}

// A Jinja2 template, strict as Python's Jinja2 in Hugging Face's sandbox: what that rejects is
// Error{kInvalid} with `origin` and the line; undefined prints as nothing, and using it is an
// error. Not supported (Error{kUnsupported}): include, import, extends, block, autoescape.
// Immutable and thread-safe.
class Template {
 public:
  // `source` must be UTF-8; `origin` names it in messages ("tokenizer_config.json").
  static Template Parse(std::string_view source, std::string_view origin,
                        const TemplateOptions& options = {});

  // Renders with the variables of `context`, an object. Adjacent spans differ in kind; none is
  // empty.
  std::vector<Span> Render(const Json& context, const RenderOptions& options = {}) const;

  // Names that the template reads and does not itself set, sorted: the columns a prompt needs.
  const std::vector<std::string>& free_names() const;

 private:
  explicit Template(std::shared_ptr<const jinja::Program> program);
  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace retort
