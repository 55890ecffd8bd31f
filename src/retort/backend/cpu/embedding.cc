#include "retort/backend/cpu/embedding.h"

#include <vector>

#include "retort/base/error.h"

namespace retort::cpu {

CpuEmbeddingTable::CpuEmbeddingTable(const TensorView& table) : name_(table.name), table_(table) {
  table_.name = name_;
  CheckFinite(table_);
  std::vector<float> row(static_cast<size_t>(table_.shape[1]));
  DecodeRows(table_, 0, 1, row.data());  // refuses a format without decoder now, not later
}

void CpuEmbeddingTable::Embed(Context& context, std::span<const int32_t> token_ids, float scale,
                              const Rows& out) const {
  constexpr int64_t kRowsPerChunk = 16;
  context.pool.ParallelFor((out.rows + kRowsPerChunk - 1) / kRowsPerChunk, [&](int64_t chunk, int) {
    const int64_t begin = chunk * kRowsPerChunk;
    const int64_t end = std::min(begin + kRowsPerChunk, out.rows);
    for (int64_t row = begin; row < end; ++row) {
      float* to = out.Row(row);
      DecodeRows(table_, token_ids[row], token_ids[row] + 1, to);
      for (int64_t i = 0; i < out.cols; ++i) to[i] *= scale;
    }
  });
}

}  // namespace retort::cpu
