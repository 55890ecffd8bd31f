#pragma once

#include <algorithm>
#include <cstdint>

#include "retort/backend/cpu/cpu_memory.h"

// Private to backend/cpu.
namespace retort::cpu {

// Calls body(row) for each row, in chunks of about `kChunkValues` values of work: waking a thread
// costs more than a few thousand simple operations.
template <typename Body>
void ForRows(Context& context, int64_t num_rows, int64_t values_per_row, const Body& body) {
  constexpr int64_t kChunkValues = 8192;
  const int64_t chunk_rows =
      std::max<int64_t>(1, kChunkValues / std::max<int64_t>(1, values_per_row));
  if (num_rows <= chunk_rows) {
    for (int64_t row = 0; row < num_rows; ++row) body(row);
    return;
  }
  const int64_t num_chunks = (num_rows + chunk_rows - 1) / chunk_rows;
  context.pool.ParallelFor(num_chunks, [&](int64_t chunk, int) {
    const int64_t row_end = std::min(num_rows, (chunk + 1) * chunk_rows);
    for (int64_t row = chunk * chunk_rows; row < row_end; ++row) body(row);
  });
}

}  // namespace retort::cpu
