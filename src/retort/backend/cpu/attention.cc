#include <algorithm>
#include <vector>

#include "retort/backend/cpu/ops.h"
#include "retort/backend/cpu/vector_kernels.h"

namespace retort::cpu {
namespace {

// A sequence's query rows of one key/value head, token by token and head by head, are cut into
// tiles; whole tokens where their heads fit one.
int TileRows(int group) {
  return group <= kTileRowsMax ? kTileRowsMax / group * group : kTileRowsMax;
}

}  // namespace

void Attend(Context& context, const Rows& q, const AttentionSpec& attention, const BatchPlan& plan,
            const CpuKvCache& cache, int layer, const Rows& out) {
  const VectorKernels& kernels = KernelsOf(context.level);
  const KvSpec& spec = cache.spec();
  const int group = attention.num_heads / spec.num_kv_heads;
  const int tile_rows = TileRows(group);
  // tile_end[s]: tiles of sequences 0 … s, of one key/value head.
  std::vector<int64_t> tile_end(static_cast<size_t>(plan.num_sequences()));
  int64_t num_tiles = 0;
  for (int64_t s = 0; s < plan.num_sequences(); ++s) {
    const int64_t rows = int64_t{plan.row_begin[s + 1] - plan.row_begin[s]} * group;
    num_tiles += (rows + tile_rows - 1) / tile_rows;
    tile_end[s] = num_tiles;
  }

  const auto sequence_of = [&](int64_t tile_index) {
    return std::upper_bound(tile_end.begin(), tile_end.end(), tile_index) - tile_end.begin();
  };
  // `has_next`: the same thread goes on with the next head, or the next tile's first.
  const auto attend = [&](int64_t tile_index, int kv_head, bool has_next) {
    const int64_t s = sequence_of(tile_index);
    const int64_t first = (tile_index - (s == 0 ? 0 : tile_end[s - 1])) * tile_rows;
    const int64_t rows = int64_t{plan.row_begin[s + 1] - plan.row_begin[s]} * group;

    AttendTile tile;
    tile.num_rows = static_cast<int>(std::min<int64_t>(tile_rows, rows - first));
    for (int r = 0; r < tile.num_rows; ++r) {
      const int64_t row = plan.row_begin[s] + (first + r) / group;
      const int64_t col = (kv_head * group + (first + r) % group) * int64_t{spec.head_dim};
      tile.queries[r] = q.Row(row) + col;
      tile.outs[r] = out.Row(row) + col;
      tile.key_end[r] = plan.positions[row] + 1;
      tile.key_begin[r] =
          attention.window > 0 ? std::max(0, tile.key_end[r] - attention.window) : 0;
    }
    tile.keys = cache.Keys(0, layer, kv_head);
    tile.values = cache.Values(0, layer, kv_head);
    tile.page_bytes = cache.page_bytes();
    tile.pages = plan.page_table.data() + s * plan.page_stride;
    tile.head_dim = spec.head_dim;
    tile.scale = attention.scale;
    tile.format = spec.format;
    if (has_next) {
      const bool is_last_head = kv_head + 1 == spec.num_kv_heads;
      const int64_t next = is_last_head ? sequence_of(tile_index + 1) : s;
      const int32_t first_key = next == s ? tile.key_begin[0] : 0;
      const int32_t page = plan.page_table[next * plan.page_stride + first_key / kPageTokens];
      tile.next_keys = cache.Keys(page, layer, is_last_head ? 0 : kv_head + 1);
    }
    kernels.attend(tile);
  };

  // Heads of a tile, whose keys and values adjoin in every page, and tiles go to a thread in a row.
  // Chunks that come last, with the longest contexts of a prompt, begin first.
  constexpr int64_t kChunksPerThread = 8;
  const int64_t num_items = num_tiles * spec.num_kv_heads;
  const int64_t num_chunks =
      std::min<int64_t>(num_items, kChunksPerThread * context.pool.num_threads());
  context.pool.ParallelFor(num_chunks, [&](int64_t chunk, int) {
    const int64_t begin = num_items * (num_chunks - chunk - 1) / num_chunks;
    const int64_t end = num_items * (num_chunks - chunk) / num_chunks;
    for (int64_t i = begin; i < end; ++i) {
      attend(i / spec.num_kv_heads, static_cast<int>(i % spec.num_kv_heads), i + 1 < end);
    }
  });
}

}  // namespace retort::cpu
