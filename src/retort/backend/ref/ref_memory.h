#pragma once

#include <cstddef>
#include <vector>

#include "retort/backend/device.h"

// Private to backend/ref: the objects behind the contract's opaque types.
namespace retort::ref {

struct RefBuffer : Buffer {
  size_t size_bytes() const override { return values.size() * sizeof(float); }
  std::vector<float> values;
};

struct RefLinear : LinearWeight {
  int64_t num_outputs() const override { return outputs; }
  int64_t num_inputs() const override { return inputs; }
  size_t size_bytes() const override { return (values.size() + bias.size()) * sizeof(float); }
  int64_t outputs = 0;
  int64_t inputs = 0;
  std::vector<float> values;  // [N, K]
  std::vector<float> bias;    // [N]
};

struct RefEmbedding : EmbeddingTable {
  int64_t num_rows() const override { return table.shape[0]; }
  int64_t row_values() const override { return table.shape[1]; }
  size_t size_bytes() const override { return 0; }  // the bytes are the checkpoint's
  TensorView table;
};

struct RefBatch : DeviceBatch {
  BatchPlan plan;
  int64_t num_tokens_max = 0;
  int64_t num_sequences_max = 0;
  int32_t page_stride_max = 0;
};

// Keys, then values, as [page, layer, token, G, D] in the spec's format.
class RefKvCache : public KvCache {
 public:
  explicit RefKvCache(const KvSpec& spec);
  static size_t PageBytes(const KvSpec& spec);

  const KvSpec& spec() const override { return spec_; }
  size_t size_bytes() const override { return bytes_.size(); }

  void Write(bool is_value, int32_t page, int layer, int token, int head, const float* from);
  void Read(bool is_value, int32_t page, int layer, int token, int head, float* to) const;
  void CopyPage(int32_t from_page, int32_t to_page, int num_tokens);

 private:
  size_t Offset(bool is_value, int32_t page, int layer, int token, int head) const;

  KvSpec spec_;
  size_t head_bytes_ = 0;  // of D values
  std::vector<std::byte> bytes_;
};

inline float* RowData(const Matrix& matrix, int64_t row) {
  return static_cast<RefBuffer*>(matrix.buffer)->values.data() + matrix.offset +
         static_cast<size_t>(row * matrix.stride);
}

// rope.cc
void RopeAndStoreKv(const Matrix& qkv, int num_heads, const RopeSpec& rope, const BatchPlan& plan,
                    RefKvCache& cache, int layer);
// attention.cc
void Attend(const Matrix& q, const AttentionSpec& attention, const BatchPlan& plan,
            const RefKvCache& cache, int layer, const Matrix& out);
// sampling.cc
SampledToken SampleRow(const float* logits, int32_t vocab, const SamplingRow& row, int64_t index);
double LogSumExp(const float* logits, int32_t vocab, const uint32_t* allowed, int64_t index);

}  // namespace retort::ref
