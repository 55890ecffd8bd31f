#pragma once

#include <memory>
#include <span>
#include <vector>

#include "retort/backend/cpu/cpu_memory.h"
#include "retort/backend/cpu/linear_kernels.h"

// Private to backend/cpu: packed weights.
namespace retort::cpu {

// Memory for weights, cut from large blocks so that small tensors lie in huge pages too. A block is
// freed with the last weight in it.
class WeightArena {
 public:
  struct Piece {
    std::shared_ptr<AlignedBytes> block;
    std::byte* data = nullptr;
  };

  // 64-byte aligned. Throws Error{kExhausted}.
  Piece Allocate(size_t bytes);

 private:
  std::shared_ptr<AlignedBytes> block_;
  size_t used_ = 0;
};

// Outputs that share a storage format, stacked: num_panels panels of panel_bytes each, the last one
// filled up with zeros.
struct PackedPart {
  Encoding encoding = Encoding::kF32;
  const GroupLayout* layout = nullptr;  // of kGroups
  int64_t output_begin = 0;
  int64_t num_outputs = 0;
  int64_t num_inputs = 0;
  int64_t num_panels = 0;
  size_t panel_bytes = 0;
  // Of kGroups where they are multiplied as bf16: weights · 2^-exponent are what is decoded. 0 for
  // most, whose weights are below 1 and not all tiny.
  int exponent = 0;
  WeightArena::Piece piece;
  // What is not packed yet: the stored tensors, and that the piece's memory is not taken yet.
  std::vector<TensorView> stored;
  MemoryPromise promise;

  bool is_packed() const { return stored.empty(); }
  size_t size_bytes() const { return static_cast<size_t>(num_panels) * panel_bytes; }
  // Where it is packed, or will be.
  std::byte* Panel(int64_t panel) const {
    return piece.data + static_cast<size_t>(panel) * panel_bytes;
  }
  // Packs one panel of what is not, to panel_bytes at `out`. Throws as Device::PackLinear does.
  void PackPanel(const LinearKernels& kernels, int64_t panel, std::byte* out) const;
};

class LateWeights;

class CpuLinearWeight : public LinearWeight {
 public:
  // See Device::PackLinear; arguments are checked. `kernels` are those that will multiply. Nothing
  // is packed yet.
  CpuLinearWeight(WeightArena& arena, const LinearKernels& kernels,
                  std::span<const TensorView> parts, std::span<const TensorView> bias,
                  Compute compute);
  ~CpuLinearWeight() override;

  int64_t num_outputs() const override { return num_outputs_; }
  int64_t num_inputs() const override { return num_inputs_; }
  size_t size_bytes() const override;

  Compute compute() const { return compute_; }
  std::span<const PackedPart> parts() const { return parts_; }
  // [N], or null.
  const float* bias() const { return bias_.empty() ? nullptr : bias_.data(); }

  // Packs on all threads of the pool. Throws as Device::PackLinear does.
  void Pack(ThreadPool& pool, const LinearKernels& kernels);

 private:
  friend class LateWeights;

  int64_t num_outputs_ = 0;
  int64_t num_inputs_ = 0;
  Compute compute_ = Compute::kNative;
  std::vector<PackedPart> parts_;
  std::vector<float> bias_;
  LateWeights* late_ = nullptr;  // while it is one of them
};

// Weights that are to be packed behind a model's first step. Loading waits for memory above all:
// the system clears it, or makes huge pages of small ones, and a virtual machine has to be given
// what is behind them. So the first step packs a panel where it multiplies it, in each thread's own
// memory, and forgets it; the steps after it find their weights packed, some each time.
//
// Used by one thread. Outlives its weights.
class LateWeights {
 public:
  LateWeights(ThreadPool& pool, const LinearKernels& kernels) : pool_(pool), kernels_(kernels) {}

  // Takes a weight of which nothing is packed, whose stored bytes outlive it, and reads it through.
  // Throws as Device::PackLinear does.
  void Add(CpuLinearWeight* weight);
  void Remove(CpuLinearWeight* weight);
  // Packs those that came first, up to kBytesPerStep or one.
  void PackSome();

  // A thread's room for one panel of any of them.
  std::byte* Panel(int thread) const {
    return panels_.data() + static_cast<size_t>(thread) * panel_bytes_max_;
  }

 private:
  // So much that a large model's second token is not long after its first, and so little that few
  // steps have to pack panels for themselves.
  static constexpr size_t kBytesPerStep = size_t{1} << 30;

  ThreadPool& pool_;
  const LinearKernels& kernels_;
  std::vector<CpuLinearWeight*> weights_;
  AlignedBytes panels_;  // [num_threads][panel_bytes_max_]
  size_t panel_bytes_max_ = 0;
};

}  // namespace retort::cpu
