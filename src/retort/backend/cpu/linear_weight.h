#pragma once

#include <memory>
#include <span>
#include <vector>

#include "retort/backend/cpu/cpu_memory.h"
#include "retort/backend/cpu/late_huge_pages.h"
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
  explicit WeightArena(LateHugePages& memory) : memory_(memory) {}

  // 64-byte aligned. Throws Error{kExhausted}.
  Piece Allocate(size_t bytes);

 private:
  LateHugePages& memory_;
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
  int64_t num_panels = 0;
  size_t panel_bytes = 0;
  // Of kGroups: weights · 2^-exponent are what is decoded to bf16. 0 for most, whose weights are
  // below 1 and not all tiny.
  int exponent = 0;
  WeightArena::Piece piece;

  const std::byte* Panel(int64_t panel) const {
    return piece.data + static_cast<size_t>(panel) * panel_bytes;
  }
};

class CpuLinearWeight : public LinearWeight {
 public:
  int64_t num_outputs() const override { return num_outputs_; }
  int64_t num_inputs() const override { return num_inputs_; }
  size_t size_bytes() const override;

  Compute compute() const { return compute_; }
  std::span<const PackedPart> parts() const { return parts_; }
  // [N], or null.
  const float* bias() const { return bias_.empty() ? nullptr : bias_.data(); }

  // See Device::PackLinear; arguments are checked. Packs on all threads of the pool.
  // `kernels` are those that will multiply.
  static std::unique_ptr<CpuLinearWeight> Pack(ThreadPool& pool, WeightArena& arena,
                                               const LinearKernels& kernels,
                                               std::span<const TensorView> parts,
                                               std::span<const TensorView> bias, Compute compute);

 private:
  int64_t num_outputs_ = 0;
  int64_t num_inputs_ = 0;
  Compute compute_ = Compute::kNative;
  std::vector<PackedPart> parts_;
  std::vector<float> bias_;
};

}  // namespace retort::cpu
