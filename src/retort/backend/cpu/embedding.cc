#include "retort/backend/cpu/embedding.h"

#include <algorithm>
#include <vector>

#include "retort/base/error.h"

namespace retort::cpu {

namespace {

// Block scales on all threads.
void CheckScales(ThreadPool& pool, const TensorView& table) {
  constexpr int64_t kRowsPerChunk = 256;
  const int64_t row_bytes = RowBytes(table);
  const int64_t num_rows = table.shape[0];
  if (static_cast<int64_t>(table.bytes.size()) < num_rows * row_bytes) {
    Throw(ErrorCode::kCorrupt, "tensor '{}' {}: expected {} bytes, found {}", table.name,
          table.shape.ToString(), num_rows * row_bytes, table.bytes.size());
  }
  const auto check_chunk = [&](int64_t chunk, int) {
    const int64_t begin = chunk * kRowsPerChunk;
    const int64_t end = std::min(begin + kRowsPerChunk, num_rows);
    TensorView rows = table;
    rows.shape = Shape{end - begin, table.shape[1]};
    rows.bytes = table.bytes.subspan(static_cast<size_t>(begin * row_bytes),
                                     static_cast<size_t>((end - begin) * row_bytes));
    CheckFinite(rows);
  };
  try {
    pool.ParallelFor((num_rows + kRowsPerChunk - 1) / kRowsPerChunk, check_chunk);
  } catch (const Error&) {
    CheckFinite(table);  // counts blocks from the table's beginning
    throw;
  }
}

}  // namespace

CpuEmbeddingTable::CpuEmbeddingTable(ThreadPool& pool, const TensorView& table)
    : name_(table.name), table_(table) {
  table_.name = name_;
  if (Info(table_.format).block_values == 1) {
    CheckFinite(table_);
  } else {
    CheckScales(pool, table_);
  }
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
