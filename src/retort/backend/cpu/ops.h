#pragma once

#include <vector>

#include "retort/backend/cpu/cpu_memory.h"
#include "retort/backend/cpu/kv_cache.h"

// Private to backend/cpu: the operations that are no linear, one file per family. Arguments are
// checked by the device before it calls. What each computes: backend/device.h.
namespace retort::cpu {

// norm.cc
void RmsNorm(Context& context, const Rows& x, const float* weight, float epsilon, const Rows& out);

// rope_kv.cc
void RopeAndStoreKv(Context& context, const Rows& qkv, int num_heads, const RopeSpec& rope,
                    const CpuBatch& batch, const CpuKvCache& cache, int layer);

// attention.cc
void Attend(Context& context, const Rows& q, const AttentionSpec& attention, const BatchPlan& plan,
            const CpuKvCache& cache, int layer, const Rows& out);

// activation.cc
void GatedActivation(Context& context, const Rows& gate_up, Activation activation, const Rows& out);
void AccumulateRows(Context& context, const Rows& x, int64_t row_begin, int64_t row_end,
                    float* out);

// sampling.cc
std::vector<SampledToken> Sample(Context& context, const Rows& logits,
                                 std::span<const SamplingRow> rows);
std::vector<float> Logprobs(Context& context, const Rows& logits,
                            std::span<const Device::LogprobQuery> queries);

}  // namespace retort::cpu
