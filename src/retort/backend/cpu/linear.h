#pragma once

#include <atomic>
#include <vector>

#include "retort/backend/cpu/linear_kernels.h"
#include "retort/backend/cpu/linear_weight.h"
#include "retort/backend/cpu/vector_kernels.h"

namespace retort::cpu {

// The RmsNorm of a linear's rows.
struct RowNorm {
  const float* weight = nullptr;  // [K]
  float epsilon = 0.0f;
  Rows scratch;  // as many rows as are normed, [., K]
};

// Panels of one part, one after the other.
struct Panels {
  const PackedPart& part;
  const std::byte* data = nullptr;
  int64_t count = 0;

  const std::byte* operator[](int64_t panel) const {
    return data + static_cast<size_t>(panel) * part.panel_bytes;
  }
};

// Runs linears: prepares the activations once per call (8-bit groups, bf16), then hands panels of
// outputs to the threads. Owns the memory for both, which grows only when a weight is packed.
class LinearRunner {
 public:
  // `late`: whoever has the weights that are not packed.
  LinearRunner(ThreadPool& pool, DispatchLevel level, const LateWeights& late);

  // Call when a weight is packed, before it is used: makes room for rows of its K.
  void Reserve(int64_t num_inputs);

  // See Device::Linear; shapes are checked.
  void Run(const Rows& x, const CpuLinearWeight& weight, bool accumulate, const Rows& out);

  // See Device::NormedLinear.
  void RunNormed(const Rows& x, const RowNorm& norm, const CpuLinearWeight& weight,
                 const Rows& out);

  // out = activation(n Gᵀ) · (n Uᵀ), n = norm(x), for a weight of G stacked on U: a normed linear
  // and a gated activation, with their bits, without a way through memory between them. False, and
  // nothing done, if gates and ups are not panels of one part.
  bool RunGated(const Rows& x, const RowNorm& norm, const CpuLinearWeight& weight,
                Activation activation, const Rows& out);

  // See Device::FeedForward. False, and nothing done, unless all weights are multiplied with rows
  // in bf16, which then come straight from the norm and the activation.
  bool RunFeedForward(const Rows& x, const RowNorm& norm, const CpuLinearWeight& gate_up,
                      Activation activation, const CpuLinearWeight& down);

 private:
  struct ThreadScratch;
  struct Pass;
  // Panels that are left of one thread's.
  struct alignas(64) Stretch {
    std::atomic<int64_t> next = 0;
    int64_t end = 0;
  };

  bool TakesBf16Rows(const CpuLinearWeight& weight) const;
  uint16_t* GatedRows() const;
  void RunPass(Pass& pass);
  void RunPasses(const Pass& all);
  void Prepare(const Pass& pass, const PackedPart& part);
  const float* PassRow(const Pass& pass, int64_t row) const;
  void NormRows(Pass* pass) const;
  void CutAtChunks(const Pass& pass, int64_t block);
  void PrepareBf16(const Pass& pass, int64_t block);
  void PrepareInt16(const Pass& pass, int64_t block);
  void PrepareGroups(const Pass& pass, const GroupLayout& layout, int64_t block);
  void RunPart(const Pass& pass, const PackedPart& part);
  void RunStretches(const Pass& pass, const PackedPart& part, int64_t num_panels);
  void RunTask(const Pass& pass, const PackedPart& part, int64_t panel_begin, int64_t panel_end,
               int64_t row_begin, int64_t row_end, int thread);
  void MultiplyGroups(const Pass& pass, const Panels& panels, int64_t row_begin, int64_t row_end,
                      float* sums, ThreadScratch& scratch);
  void MultiplyBf16(const Pass& pass, const Panels& panels, int64_t row_begin, int64_t row_end,
                    float* sums, ThreadScratch& scratch);
  void MultiplyInt16(const Pass& pass, const Panels& panels, int64_t row_begin, int64_t row_end,
                     float* sums);
  void MultiplyF32(const Pass& pass, const Panels& panels, int64_t row_begin, int64_t row_end,
                   float* sums, ThreadScratch& scratch);
  const float* DecodeChunk(const PackedPart& part, const std::byte* panel, int64_t input_begin,
                           int num_inputs, ThreadScratch& scratch) const;
  Panels TakePanels(const PackedPart& part, int64_t panel_begin, int64_t panel_end,
                    int thread) const;
  void Multiply(const Pass& pass, const Panels& panels, int64_t row_begin, int64_t row_end,
                float* sums, ThreadScratch& scratch);
  void WriteOut(const Pass& pass, const PackedPart& part, int64_t panel, int64_t row_begin,
                int64_t row_end, const float* sums) const;
  void WriteGated(const Pass& pass, const PackedPart& part, int64_t panel, int64_t row_begin,
                  int64_t row_end, const float* gates, const float* ups) const;

  ThreadScratch& Scratch(int thread) const;

  ThreadPool& pool_;
  const LinearKernels& kernels_;
  const LateWeights& late_;
  const VectorKernels& vector_kernels_;
  AlignedBytes scratch_;            // [num_threads] ThreadScratch
  std::vector<Stretch> stretches_;  // one a thread
  int64_t inputs_max_ = 0;
  // The rows of a pass as the part at hand wants them. Of 8-bit groups: codes, scales, sums of 16
  // codes, and corrections or f32 sums. Of 16-bit chunks: codes, scales. In f32: cut at chunks. In
  // bf16 they fill one half; the other is for rows that leave a gated linear in bf16.
  AlignedBytes rows_;
};

}  // namespace retort::cpu
