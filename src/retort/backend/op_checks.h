#pragma once

#include <cstdint>
#include <span>

#include "retort/backend/device.h"

// What the arguments of each operation must satisfy, told once for all backends. A contradiction is
// Error{kInternal} naming the operation, the argument, what was expected and what was found; what a
// device may refuse is {kUnsupported} and what a checkpoint got wrong is {kCorrupt}.
// Each check costs O(1), or O(T) where it looks at a plan.
namespace retort {

// A view inside its buffer, its rows at least `cols` apart.
void CheckMatrix(const char* op, const char* what, const Matrix& matrix);

// A plan that fits a descriptor made for these maxima: sequences tile the rows, positions are not
// negative, every page up to a row's position is there, output rows ascend inside [0, T).
void CheckPlan(const BatchPlan& plan, int64_t num_tokens_max, int64_t num_sequences_max,
               int32_t page_stride_max);

// Stacked parts of equal rank 2 and K; no bias, or one (perhaps empty) vector of N values per part.
void CheckPackLinear(std::span<const TensorView> parts, std::span<const TensorView> bias);
void CheckPackEmbedding(const TensorView& table);

void CheckKvSpec(const KvSpec& spec);
void CheckCopyKvPage(const KvSpec& spec, int32_t from_page, int32_t to_page, int num_tokens);

void CheckEmbed(const EmbeddingTable& table, const BatchPlan& plan, const Matrix& out);
void CheckRmsNorm(const Matrix& x, const Matrix& weight, const Matrix& out);
void CheckLinear(const Matrix& x, const LinearWeight& weight, const Matrix& out);
void CheckRope(const Matrix& qkv, int num_heads, const RopeSpec& rope, const BatchPlan& plan,
               const KvSpec& spec, int layer);
void CheckAttend(const Matrix& q, const AttentionSpec& attention, const BatchPlan& plan,
                 const KvSpec& spec, int layer, const Matrix& out);
void CheckGatedActivation(const Matrix& gate_up, const Matrix& out);
void CheckGatherOutputRows(const Matrix& x, const BatchPlan& plan, const Matrix& out);
void CheckAccumulateRows(const Matrix& x, int64_t row_begin, int64_t row_end, const Matrix& out);
void CheckSample(const Matrix& logits, std::span<const SamplingRow> rows);
void CheckLogprobs(const Matrix& logits, std::span<const Device::LogprobQuery> queries);

}  // namespace retort
