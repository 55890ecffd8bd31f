#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retort/llm/request.h"
#include "retort/llm/step_series.h"

namespace retort {

// What a caller may want to know of a model before or after using it.
struct ModelDescription {
  std::string name;            // as the caller named it
  std::string digest;          // of its files
  std::string dispatch_level;  // which code paths compute; "remote" for a server
  // Names all that answers depend on beside the request: the bytes of its files, what computes and
  // how, and the version of the code. Part of the key of whatever is made of answers. Only the
  // context is not in it: it matters to a generation whose prompt and max_new_tokens pass it.
  std::string answers_key;
  int context_tokens_max = 0;
  int embedding_dim = 0;      // E; 0: does not embed
  int num_sequences_max = 0;  // requests worth having in flight
};

// Counters since the model was loaded. Values only grow.
struct ModelStats {
  uint64_t num_requests = 0;
  uint64_t num_failed = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t completion_tokens = 0;
  uint64_t num_steps = 0;           // of the engine
  uint64_t num_step_sequences = 0;  // summed over steps: divided by num_steps, the mean batch
  uint64_t busy_ns = 0;             // time inside steps
  uint64_t weight_bytes = 0;        // packed, on the device
  uint64_t kv_bytes = 0;            // the arena's budget
  uint64_t num_preemptions = 0;
};

// Called on one of the model's own threads: return soon, do not throw, do not destroy the model.
struct ResponseHandler {
  // Text as it appears, if set; concatenated it is the completion's text.
  std::function<void(std::string_view delta)> on_text;
  // Exactly once per request, last.
  std::function<void(Response)> on_done;
};

// What a model is, as far as it can be told before any of its weights are in memory. Thread-safe.
class ModelIdentity {
 public:
  virtual ~ModelIdentity() = default;

  // May read all of the model's files, the first time.
  virtual ModelDescription description() const = 0;

  // Identifies the answer: equal keys have equal responses on this machine. Covers the answers key,
  // rendered tokens, the work and its parameters, seed and constraint, and the context where the
  // request could reach its end; not id, tag, priority or deadline. Throws Error{kInvalid} if the
  // prompt cannot be rendered.
  virtual std::string RequestKey(const Request& request) const = 0;

  // Throws Error{kCorrupt} if the model is no longer what the keys say, because somebody wrote to
  // its files: from then on nothing may be kept under them. Cheap.
  virtual void CheckUnchanged() const {}
};

// A model at work, wherever it runs: in this process, behind a server, or a scripted fake.
// Thread-safe.
class LanguageModel : public ModelIdentity {
 public:
  virtual ModelStats stats() const = 0;
  // How it got there, step by step, in at most a few thousand points. Empty: there are no steps.
  virtual std::vector<StepPoint> step_points() const { return {}; }

  // Takes the request and returns; the handler hears of it, also of errors. Never throws for the
  // request's faults.
  virtual void Submit(Request request, ResponseHandler handler) = 0;
};

// Submits and waits. Throws the request's Error.
Response Await(LanguageModel& model, Request request);

// When a model named in a pipeline file or a server's settings is loaded, and let go.
enum class LoadPolicy {
  kLazy,    // at first use; let go when unused for keep_alive
  kEager,   // by LoadEager; let go when unused for keep_alive
  kPinned,  // by LoadEager; never let go
};

// Finds models by the names a pipeline or a server gives them. Thread-safe. The first use of a name
// loads it; others who ask meanwhile wait for the same load.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  virtual std::shared_ptr<LanguageModel> Acquire(const std::string& name) = 0;
  // What Acquire gives, or would give, without loading it where that can be spared.
  virtual std::shared_ptr<const ModelIdentity> Identify(const std::string& name) {
    return Acquire(name);
  }
};

}  // namespace retort
