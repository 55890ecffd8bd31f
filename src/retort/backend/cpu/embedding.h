#pragma once

#include <string>

#include "retort/backend/cpu/cpu_memory.h"
#include "retort/tensor/tensor_view.h"

namespace retort::cpu {

// Refers to the stored bytes and decodes rows as they are looked up.
class CpuEmbeddingTable : public EmbeddingTable {
 public:
  // Throws as Device::PackEmbedding does; the shape is checked.
  CpuEmbeddingTable(ThreadPool& pool, const TensorView& table);

  int64_t num_rows() const override { return table_.shape[0]; }
  int64_t row_values() const override { return table_.shape[1]; }
  size_t size_bytes() const override { return 0; }  // the bytes are the checkpoint's

  // out[t] = scale · row of token_ids[t]; token ids are checked.
  void Embed(Context& context, std::span<const int32_t> token_ids, float scale,
             const Rows& out) const;

 private:
  std::string name_;  // what table_ calls itself
  TensorView table_;
};

}  // namespace retort::cpu
