#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "retort/backend/device.h"
#include "retort/base/error.h"
#include "retort/engine/scheduler.h"
#include "retort/engine/work.h"
#include "retort/models/decoder.h"

namespace retort {

struct ModelRunnerOptions {
  int max_num_seqs = 0;
  int max_batch_tokens = 0;
  int64_t context_tokens_max = 0;
  int num_pages = 0;
  int64_t tokenizer_vocab_size = 0;  // masks have at least as many bits
  Format kv_format = Format::kBF16;
};

// One sequence's part in a step.
struct StepTask {
  StepItem item;
  Work* work = nullptr;
  int64_t prompt_tokens = 0;

  // What the step made of it.
  int64_t num_outputs = 0;              // positions at the item's end that answered something
  SampledToken sampled;                 // GenerationWork, if num_outputs > 0
  std::optional<Error> failure;         // why this sequence alone has none of these
  std::vector<float> logprobs;          // ScoringWork: the answers of all positions, joined
  std::vector<int64_t> logprobs_begin;  // where each position's begin, and the end
  std::vector<float> hidden;            // EmbeddingWork: its state or sum, if it is complete
};

// Runs steps of one model on its device. Owns all device memory beside the weights. Used by one
// thread at a time; the decoder must outlive it.
class ModelRunner {
 public:
  // Throws Error{kExhausted} if the device has not the memory.
  ModelRunner(const Decoder& decoder, const ModelRunnerOptions& options);

  size_t kv_bytes() const { return cache_->size_bytes(); }

  // A place where an embedding's states are summed, emptied. There is one for each running
  // sequence.
  int TakeAccumulator();
  void ReturnAccumulator(int accumulator);

  // Computes the tasks' tokens and fills in their answers. Reorders the tasks. A sequence whose
  // logits are no numbers, or whose constraint has no mask, gets a `failure` of its own. If it
  // throws, what the sequences' pages hold beyond num_computed is unknown.
  void Run(std::vector<StepTask>& tasks);

 private:
  // One row of logits that answers a ScoringWork.
  struct ScoredRow {
    StepTask* task;
    int64_t position;
  };

  void PlanBatch(std::vector<StepTask>& tasks);
  void Sample(std::span<StepTask> tasks, const Matrix& hidden);
  void Constrain(std::span<StepTask* const> tasks);
  std::vector<SampledToken> Draw(const Matrix& logits, std::span<const SamplingRow> rows,
                                 std::span<StepTask* const> tasks);
  void Score(std::span<StepTask> tasks, const Matrix& hidden);
  void ScoreRows(const Matrix& logits, std::span<const ScoredRow> rows);
  void Pool(std::span<StepTask> tasks, const Matrix& hidden);

  const Decoder& decoder_;
  Device& device_;
  int64_t num_logits_rows_max_;
  int32_t page_stride_;
  size_t num_mask_words_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Decoder::Workspace> workspace_;
  std::unique_ptr<DeviceBatch> batch_;
  std::unique_ptr<Buffer> accumulator_buffer_;
  Matrix accumulators_;  // [max_num_seqs, E]
  std::vector<int> free_accumulators_;
  BatchPlan plan_;
  std::vector<uint32_t> masks_;  // of the constrained rows
};

}  // namespace retort
