#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "retort/backend/device.h"
#include "retort/llm/language_model.h"
#include "retort/models/decoder.h"

namespace retort {

struct EngineOptions {
  std::filesystem::path path;  // what Checkpoint::Open takes
  std::string name;            // what the caller calls it; empty: the path
  std::string device = "cpu";  // what OpenDevice takes
  int num_threads = 0;         // of the device; 0: all it may use
  std::string dispatch_level;  // of the device; empty: its best

  int max_num_seqs = 32;                    // sequences computed together
  int max_batch_tokens = 512;               // tokens computed in one step
  int prefill_chunk_tokens = 256;           // of one prompt in one step
  uint64_t kv_bytes = uint64_t{512} << 20;  // budget of keys and values
  // 0: what the model was made for. More than that is the caller's own risk.
  int64_t context_tokens_max = 0;
  bool prefix_cache = true;  // keep keys and values of prompts for those that begin alike
  Compute compute = Compute::kNative;
  std::optional<Format> kv_format;  // see KvSpec; unset: bf16, or f32 if compute is exact
  int queue_requests_max = 4096;    // submitted and not begun; beyond it Submit answers kExhausted

  std::filesystem::path engine_log;  // see EngineLog; empty: none
  LoadProgress progress;
};

// A device that fails so often in a row is taken for broken: more would only fail more requests.
inline constexpr int kFailedStepsMax = 8;

// Throws Error{kInvalid} for options that cannot work, whatever the model: what needs no file.
void CheckEngineOptions(const EngineOptions& options);

// One loaded model at work. All requests, whoever sends them, share its steps: prompts in chunks
// and one token of every running completion (continuous batching: Yu et al. 2022, "Orca"; paged
// keys and values: Kwon et al. 2023). Prompts are rendered and tokenised on the thread that
// submits; one thread of the engine owns the device and calls the handlers.
//
// What a request answers depends on the request, the model, the device's dispatch level, `compute`
// and `kv_format` alone: not on the other requests, their order, max_num_seqs, chunk sizes, the
// prefix cache or preemption. (The context, if kv_bytes holds less than the model's, ends
// completions sooner.)
//
// A sequence whose logits or states are no numbers fails alone. A fault in a step fails the
// requests of that step, and the engine goes on. After kFailedStepsMax such steps in a row, or if
// the engine itself fails, it has stopped: all that is pending gets kUnavailable, and so does
// whatever is submitted from then on. Destruction fails what is pending with kCancelled.
class Engine : public LanguageModel {
 public:
  // Opens the checkpoint, packs it on the device and starts. Throws what Checkpoint::Open,
  // OpenDevice, Decoder::Load and the tokenizer throw; Error{kExhausted} with numbers if kv_bytes
  // holds no page, or the device has not the memory; {kInvalid} for options that cannot work.
  static std::shared_ptr<Engine> Open(const EngineOptions& options);
  // On a device of the caller's making.
  static std::shared_ptr<Engine> Open(const EngineOptions& options, std::unique_ptr<Device> device);
  ~Engine() override;

  ModelDescription description() const override;
  ModelStats stats() const override;
  std::vector<StepPoint> step_points() const override;

  // SHA-256 over the rendered token ids, the work with all its parameters, and what answers depend
  // on (above). Renders and tokenises the prompt.
  std::string RequestKey(const Request& request) const override;
  void Submit(Request request, ResponseHandler handler) override;

 private:
  class Impl;
  explicit Engine(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;  // the thread's too: a handler may drop the last Engine
  std::thread thread_;
};

}  // namespace retort
