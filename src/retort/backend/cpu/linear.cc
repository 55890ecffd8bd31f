#include "retort/backend/cpu/linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort::cpu {
namespace {

// Rows whose activations are prepared at a time: they stay in the L2 cache while panels pass by,
// and an unpacked panel serves them all.
constexpr int64_t kRowsPerPass = 256;
// Rows so few that memory is the limit, or near it: each thread walks a stretch of panels of its
// own, at most so many at a time. Where weights are unpacked first, which waits for memory too,
// more rows are few.
constexpr int64_t kFewRows = 16;
constexpr int64_t kFewUnpackedRows = 64;
constexpr int64_t kPanelsPerStep = 4;
// Tasks per thread worth having, so that a slow one costs little.
constexpr int64_t kTasksPerThread = 4;
// bf16 units taken at a time, decoded ones too: with many rows 18 KiB that stay in the L1 cache
// while rows pass through it, with few rows a stretch of one stream.
constexpr int64_t kUnitsPerChunk = 9;

// Bytes per activation of the widest preparation: f32.
constexpr size_t kBytesPerInput = 4;

// Rows in f32, where there are many, are cut at chunks of inputs: what a kernel multiplies at a
// time lies together, and never so far apart that one row's values push another's out of the L1
// cache.
enum class Preparation { kNone, kF32Chunks, kInt16, kGroups, kBf16 };

Preparation PreparationOf(const PackedPart& part, Compute compute, int64_t num_rows,
                          const LinearKernels& kernels) {
  if (part.encoding == Encoding::kInt16) return Preparation::kInt16;
  if (compute != Compute::kExact) {
    if (part.encoding == Encoding::kGroups) {
      return kernels.groups_as_bf16 ? Preparation::kBf16 : Preparation::kGroups;
    }
    if (part.encoding == Encoding::kBf16 && kernels.multiply_bf16 != nullptr) {
      return Preparation::kBf16;
    }
  }
  return num_rows > kBlockRows ? Preparation::kF32Chunks : Preparation::kNone;
}

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Rows that a block of more than one lacks: tiles multiply them too. Tiles of a block that is alone
// have no more rows than it.
void ClearLastRows(int64_t num_rows, int64_t num_rows_all, int64_t block_stride, uint16_t* block) {
  if (num_rows == kBlockRows || num_rows_all <= kBlockRows) return;
  std::memset(block, 0, static_cast<size_t>(block_stride) * sizeof(uint16_t));
}

// Values of one panel's sums: whole blocks of rows.
int64_t SumsStride(int64_t num_rows) {
  return CeilDiv(num_rows, kBlockRows) * kBlockRows * kPanelOutputs;
}

// Sums of weights · 2^-exponent to sums of weights.
void ScaleSums(int exponent, int64_t num_sums, float* sums) {
  if (exponent == 0) return;
  const float factor = std::ldexp(1.0f, exponent);
  for (int64_t i = 0; i < num_sums; ++i) sums[i] *= factor;
}

}  // namespace

struct LinearRunner::ThreadScratch {
  UnpackScratch unpack;
  alignas(64) float decoded[kF32ChunkValues * kPanelOutputs];
  alignas(64) uint16_t units[kUnitsPerChunk * kBf16UnitValues * kPanelOutputs];
  alignas(64) float sums[2 * kRowsPerPass * kPanelOutputs];  // of gates and ups
};

struct LinearRunner::Pass {
  Rows x;
  Rows out;
  const CpuLinearWeight& weight;
  bool accumulate = false;
  // Outputs are gates, then as many ups: what is written is their gated activation.
  std::optional<Activation> gated = std::nullopt;
  // Of x's rows, before they are multiplied.
  const RowNorm* norm = nullptr;
  // Where gated outputs go instead of `out`: bf16 rows of the next linear.
  uint16_t* gated_rows = nullptr;
  // Rows that are in bf16 already; x has none then, but its shape.
  const uint16_t* rows = nullptr;
  Preparation preparation = Preparation::kNone;

  int64_t num_inputs() const { return x.cols; }
  int64_t num_groups() const { return x.cols / kGroupValues; }
  int64_t num_units() const { return CeilDiv(x.cols, kBf16UnitValues); }
  int64_t num_blocks() const { return CeilDiv(x.rows, kBlockRows); }
  // Values of a block of bf16 rows.
  int64_t block_stride() const { return num_units() * kBlockRows * kBf16UnitValues; }

  // Where the prepared rows lie in `rows_`: first all blocks' codes, then scales, ...
  size_t codes_stride() const { return static_cast<size_t>(x.cols) * kBlockRows; }
  size_t scales_stride() const { return static_cast<size_t>(num_groups()) * kBlockRows; }
  size_t blocks() const { return static_cast<size_t>(num_blocks()); }
  size_t scales_at() const { return blocks() * codes_stride(); }
  size_t code_sums_at() const { return scales_at() + blocks() * scales_stride() * 4; }
  size_t row_sums_at() const { return code_sums_at() + blocks() * scales_stride() * 8; }

  // Likewise in 16 bits.
  size_t num_chunks() const { return static_cast<size_t>(CeilDiv(x.cols, kInt16ChunkValues)); }
  size_t int16_codes_stride() const { return num_chunks() * kInt16ChunkValues * kBlockRows; }
  size_t int16_scales_stride() const { return num_chunks() * kBlockRows; }
  size_t int16_scales_at() const { return blocks() * int16_codes_stride() * sizeof(int16_t); }
};

LinearRunner::LinearRunner(ThreadPool& pool, DispatchLevel level, const LateWeights& late)
    : pool_(pool),
      kernels_(KernelsFor(level)),
      late_(late),
      vector_kernels_(KernelsOf(level)),
      scratch_(sizeof(ThreadScratch) * static_cast<size_t>(pool.num_threads())),
      stretches_(static_cast<size_t>(pool.num_threads())) {}

LinearRunner::ThreadScratch& LinearRunner::Scratch(int thread) const {
  return scratch_.As<ThreadScratch>()[thread];
}

void LinearRunner::Reserve(int64_t num_inputs) {
  static_assert(kInt16ChunkValues % kBf16UnitValues == 0);
  const int64_t padded = CeilDiv(num_inputs, kInt16ChunkValues) * kInt16ChunkValues;
  if (padded <= inputs_max_) return;
  rows_ = AlignedBytes(static_cast<size_t>(padded) * kRowsPerPass * kBytesPerInput);
  inputs_max_ = padded;
}

void LinearRunner::Run(const Rows& x, const CpuLinearWeight& weight, bool accumulate,
                       const Rows& out) {
  RunPasses({.x = x, .out = out, .weight = weight, .accumulate = accumulate});
}

bool LinearRunner::RunGated(const Rows& x, const RowNorm& norm, const CpuLinearWeight& weight,
                            Activation activation, const Rows& out) {
  if (weight.parts().size() != 1 || out.cols % kPanelOutputs != 0) return false;
  RunPasses({.x = x, .out = out, .weight = weight, .gated = activation, .norm = &norm});
  return true;
}

bool LinearRunner::TakesBf16Rows(const CpuLinearWeight& weight) const {
  return std::all_of(weight.parts().begin(), weight.parts().end(), [&](const PackedPart& part) {
    return PreparationOf(part, weight.compute(), 1, kernels_) == Preparation::kBf16;
  });
}

uint16_t* LinearRunner::GatedRows() const {
  return rows_.As<uint16_t>() + kRowsPerPass * inputs_max_;
}

void LinearRunner::RunNormed(const Rows& x, const RowNorm& norm, const CpuLinearWeight& weight,
                             const Rows& out) {
  RunPasses({.x = x, .out = out, .weight = weight, .norm = &norm});
}

bool LinearRunner::RunFeedForward(const Rows& x, const RowNorm& norm,
                                  const CpuLinearWeight& gate_up, Activation activation,
                                  const CpuLinearWeight& down) {
  const int64_t num_gated = down.num_inputs();
  if (gate_up.parts().size() != 1 || num_gated % kPanelOutputs != 0 || !TakesBf16Rows(gate_up) ||
      !TakesBf16Rows(down)) {
    return false;
  }
  for (int64_t begin = 0; begin < x.rows; begin += kRowsPerPass) {
    const int64_t num_rows = std::min(kRowsPerPass, x.rows - begin);
    const Rows rows{x.Row(begin), num_rows, x.cols, x.stride};
    Pass gated{.x = rows,
               .out = {nullptr, num_rows, num_gated, 0},
               .weight = gate_up,
               .gated = activation,
               .norm = &norm,
               .gated_rows = GatedRows()};
    const int64_t last_row = (num_rows - 1) / kBlockRows * kBlockRows;
    ClearLastRows(num_rows - last_row, num_rows, num_gated * kBlockRows,
                  GatedRows() + last_row * num_gated);
    RunPass(gated);
    Pass back{.x = gated.out, .out = rows, .weight = down, .accumulate = true, .rows = GatedRows()};
    RunPass(back);
  }
  return true;
}

void LinearRunner::RunPasses(const Pass& all) {
  const Rows& x = all.x;
  const Rows& out = all.out;
  for (int64_t begin = 0; begin < x.rows; begin += kRowsPerPass) {
    const int64_t num_rows = std::min(kRowsPerPass, x.rows - begin);
    Pass pass{.x = {x.Row(begin), num_rows, x.cols, x.stride},
              .out = {out.Row(begin), num_rows, out.cols, out.stride},
              .weight = all.weight,
              .accumulate = all.accumulate,
              .gated = all.gated,
              .norm = all.norm};
    RunPass(pass);
  }
}

void LinearRunner::RunPass(Pass& pass) {
  if (pass.x.cols > inputs_max_) {
    Throw(ErrorCode::kInternal, "Linear: {} inputs, room was made for {}", pass.x.cols,
          inputs_max_);
  }
  const PackedPart* previous = nullptr;
  for (const PackedPart& part : pass.weight.parts()) {
    const Preparation wanted = PreparationOf(part, pass.weight.compute(), pass.x.rows, kernels_);
    // Rows prepared for one grouped layout do not serve another: corrections differ.
    const bool again = previous == nullptr || wanted != pass.preparation ||
                       (wanted == Preparation::kGroups && part.layout != previous->layout);
    pass.preparation = wanted;
    if (wanted == Preparation::kNone && pass.norm != nullptr) NormRows(&pass);
    if (again && pass.rows == nullptr) Prepare(pass, part);
    RunPart(pass, part);
    previous = &part;
  }
}

void LinearRunner::Prepare(const Pass& pass, const PackedPart& part) {
  if (pass.preparation == Preparation::kNone) return;
  const auto prepare_block = [&](int64_t block, int) {
    if (pass.preparation == Preparation::kGroups) return PrepareGroups(pass, *part.layout, block);
    if (pass.preparation == Preparation::kInt16) return PrepareInt16(pass, block);
    if (pass.preparation == Preparation::kBf16) return PrepareBf16(pass, block);
    CutAtChunks(pass, block);
  };
  if (pass.num_blocks() == 1) return prepare_block(0, 0);  // not worth waking anyone
  pool_.ParallelFor(pass.num_blocks(), prepare_block);
}

// A row of the pass, normed if it is to be: where, a block's other rows are no more.
const float* LinearRunner::PassRow(const Pass& pass, int64_t row) const {
  const float* from = pass.x.Row(row);
  if (pass.norm == nullptr) return from;
  float* normed = pass.norm->scratch.Row(row / kBlockRows * kBlockRows);  // stays in the L1 cache
  vector_kernels_.rms_norm(from, pass.norm->weight, pass.norm->epsilon, pass.x.cols, normed);
  return normed;
}

// Rows that are multiplied as they are, and are few.
void LinearRunner::NormRows(Pass* pass) const {
  const Rows& normed = pass->norm->scratch;
  for (int64_t row = 0; row < pass->x.rows; ++row) {
    vector_kernels_.rms_norm(pass->x.Row(row), pass->norm->weight, pass->norm->epsilon,
                             pass->x.cols, normed.Row(row));
  }
  pass->x = {normed.data, pass->x.rows, pass->x.cols, normed.stride};
  pass->norm = nullptr;
}

// To [chunk][row][input of the chunk].
void LinearRunner::CutAtChunks(const Pass& pass, int64_t block) {
  const int64_t begin = block * kBlockRows;
  const int64_t end = std::min(begin + kBlockRows, pass.x.rows);
  for (int64_t row = begin; row < end; ++row) {
    const float* from = PassRow(pass, row);
    for (int64_t k = 0; k < pass.num_inputs(); k += kF32ChunkValues) {
      const int64_t count = std::min<int64_t>(kF32ChunkValues, pass.num_inputs() - k);
      std::copy_n(from + k, count, rows_.As<float>() + k * pass.x.rows + row * count);
    }
  }
}

void LinearRunner::PrepareBf16(const Pass& pass, int64_t block) {
  const int64_t begin = block * kBlockRows;
  const int64_t end = std::min(begin + kBlockRows, pass.x.rows);
  uint16_t* to = rows_.As<uint16_t>() + block * pass.block_stride();
  ClearLastRows(end - begin, pass.x.rows, pass.block_stride(), to);
  for (int64_t row = begin; row < end; ++row) {
    kernels_.round_row(PassRow(pass, row), pass.num_inputs(), kBlockRows * kBf16UnitValues,
                       to + (row - begin) * kBf16UnitValues);
  }
}

void LinearRunner::PrepareInt16(const Pass& pass, int64_t block) {
  const int64_t begin = block * kBlockRows;
  const int64_t end = std::min(begin + kBlockRows, pass.x.rows);
  const auto b = static_cast<size_t>(block);
  auto* codes = rows_.As<int16_t>() + b * pass.int16_codes_stride();
  auto* scales = rows_.As<float>(pass.int16_scales_at()) + b * pass.int16_scales_stride();
  for (int64_t row = begin; row < end; ++row, codes += kInt16ChunkValues, ++scales) {
    kernels_.quantize_row_int16(PassRow(pass, row), pass.num_inputs(), codes, scales);
  }
}

void LinearRunner::PrepareGroups(const Pass& pass, const GroupLayout& layout, int64_t block) {
  const int64_t begin = block * kBlockRows;
  const int64_t num_rows = std::min<int64_t>(kBlockRows, pass.x.rows - begin);
  const auto b = static_cast<size_t>(block);
  auto* codes = rows_.As<int8_t>() + b * pass.codes_stride();
  auto* scales = rows_.As<float>(pass.scales_at()) + b * pass.scales_stride();
  auto* code_sums = rows_.As<int32_t>(pass.code_sums_at()) + b * pass.scales_stride() * 2;
  auto* row_sums = rows_.As<std::byte>(pass.row_sums_at()) + b * pass.scales_stride() * 8;
  if (num_rows < kBlockRows) {
    std::memset(codes, 0, pass.codes_stride());
    std::memset(scales, 0, pass.scales_stride() * 4);
    std::memset(code_sums, 0, pass.scales_stride() * 8);
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    kernels_.quantize_row(PassRow(pass, begin + row), pass.num_groups(), codes + row * kGroupValues,
                          scales + row, code_sums + row);
  }
  const int runs = kGroupValues / layout.scale_values();
  for (int64_t run = 0; run < pass.num_groups() * runs; ++run) {
    const int32_t* first = code_sums + run * (runs == 1 ? 2 : 1) * kBlockRows;
    for (int64_t row = 0; row < kBlockRows; ++row) {
      const int32_t sum = first[row] + (runs == 1 ? first[kBlockRows + row] : 0);
      std::byte* to = row_sums + (run * kBlockRows + row) * 4;
      if (layout.has_min()) {
        StoreAs<float>(to, scales[run / runs * kBlockRows + row] * static_cast<float>(sum));
      } else {
        StoreAs<int32_t>(to, -layout.zero * sum);
      }
    }
  }
}

void LinearRunner::RunPart(const Pass& pass, const PackedPart& part) {
  const int64_t num_threads = pool_.num_threads();
  const int64_t num_rows = pass.x.rows;
  // A panel of gates goes with its panel of ups.
  const int64_t num_panels = pass.gated ? part.num_panels / 2 : part.num_panels;
  if (num_rows <= (pass.preparation == Preparation::kBf16 ? kFewRows : kFewUnpackedRows)) {
    return RunStretches(pass, part, num_panels);
  }
  // Few panels: cut the rows too.
  const int64_t row_tasks = std::clamp<int64_t>(kTasksPerThread * num_threads / num_panels, 1,
                                                CeilDiv(num_rows, 2 * kBlockRows));
  const int64_t rows_per_task = CeilDiv(CeilDiv(num_rows, row_tasks), kBlockRows) * kBlockRows;
  const int64_t num_tasks = num_panels * CeilDiv(num_rows, rows_per_task);
  pool_.ParallelFor(num_tasks, [&](int64_t task, int thread) {
    const int64_t panel = task % num_panels;
    const int64_t row_begin = task / num_panels * rows_per_task;
    RunTask(pass, part, panel, panel + 1, row_begin, std::min(row_begin + rows_per_task, num_rows),
            thread);
  });
}

// Memory is read in order, and no thread waits long for another: who has come to the end of a
// stretch goes on with what is left of others.
void LinearRunner::RunStretches(const Pass& pass, const PackedPart& part, int64_t num_panels) {
  const int64_t num_stretches = pool_.num_threads();
  const int64_t step = part.is_packed()
                           ? std::clamp<int64_t>(num_panels / (2 * kTasksPerThread * num_stretches),
                                                 1, kPanelsPerStep)
                           : 1;
  for (int64_t i = 0; i < num_stretches; ++i) {
    stretches_[i].next.store(num_panels * i / num_stretches, std::memory_order_relaxed);
    stretches_[i].end = num_panels * (i + 1) / num_stretches;
  }
  pool_.ParallelFor(num_stretches, [&](int64_t first, int thread) {
    for (int64_t i = 0; i < num_stretches; ++i) {
      Stretch& stretch = stretches_[(first + i) % num_stretches];
      while (true) {
        const int64_t panel = stretch.next.fetch_add(step, std::memory_order_relaxed);
        if (panel >= stretch.end) break;
        RunTask(pass, part, panel, std::min(panel + step, stretch.end), 0, pass.x.rows, thread);
      }
    }
  });
}

void LinearRunner::RunTask(const Pass& pass, const PackedPart& part, int64_t panel_begin,
                           int64_t panel_end, int64_t row_begin, int64_t row_end, int thread) {
  ThreadScratch& scratch = Scratch(thread);
  const int64_t sums_stride = SumsStride(row_end - row_begin);
  const int64_t num_sums = (panel_end - panel_begin) * sums_stride;
  const bool has_tiles = pass.preparation == Preparation::kBf16 && kernels_.begin != nullptr;
  if (has_tiles) kernels_.begin(row_end - row_begin);
  Multiply(pass, TakePanels(part, panel_begin, panel_end, thread), row_begin, row_end, scratch.sums,
           scratch);
  if (pass.gated) {
    const int64_t ups = part.num_panels / 2;
    Multiply(pass, TakePanels(part, panel_begin + ups, panel_end + ups, thread), row_begin, row_end,
             scratch.sums + num_sums, scratch);
  }
  if (has_tiles) kernels_.end();
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    const float* sums = scratch.sums + (panel - panel_begin) * sums_stride;
    if (pass.gated) {
      WriteGated(pass, part, panel, row_begin, row_end, sums, sums + num_sums);
    } else {
      WriteOut(pass, part, panel, row_begin, row_end, sums);
    }
  }
}

// Of a part that is not packed they are one panel, which the thread's next one takes the place of.
Panels LinearRunner::TakePanels(const PackedPart& part, int64_t panel_begin, int64_t panel_end,
                                int thread) const {
  if (part.is_packed()) return {part, part.Panel(panel_begin), panel_end - panel_begin};
  std::byte* panel = late_.Panel(thread);
  part.PackPanel(kernels_, panel_begin, panel);
  return {part, panel, 1};
}

void LinearRunner::Multiply(const Pass& pass, const Panels& panels, int64_t row_begin,
                            int64_t row_end, float* sums, ThreadScratch& scratch) {
  const int64_t num_sums = panels.count * SumsStride(row_end - row_begin);
  if (pass.preparation == Preparation::kBf16) {
    MultiplyBf16(pass, panels, row_begin, row_end, sums, scratch);
    ScaleSums(panels.part.exponent, num_sums, sums);
    return;
  }
  std::memset(sums, 0, static_cast<size_t>(num_sums) * sizeof(float));
  if (pass.preparation == Preparation::kGroups) {
    MultiplyGroups(pass, panels, row_begin, row_end, sums, scratch);
  } else if (pass.preparation == Preparation::kInt16) {
    MultiplyInt16(pass, panels, row_begin, row_end, sums);
  } else {
    MultiplyF32(pass, panels, row_begin, row_end, sums, scratch);
  }
}

void LinearRunner::MultiplyGroups(const Pass& pass, const Panels& panels, int64_t row_begin,
                                  int64_t row_end, float* sums, ThreadScratch& scratch) {
  const GroupLayout& layout = *panels.part.layout;
  const int64_t num_rows = row_end - row_begin;
  const bool is_signed = kernels_.wants_signed(num_rows, layout.scale_values());
  const auto runs = static_cast<size_t>(kGroupValues / layout.scale_values());
  const auto rows_at = [&](size_t block, size_t group) {
    const size_t scales_at = block * pass.scales_stride() + group * kBlockRows;
    const size_t sums_at = block * pass.scales_stride() * 2 + group * runs * kBlockRows;
    return QuantizedRows{.codes = rows_.As<int8_t>() + block * pass.codes_stride() +
                                  group * kBlockRows * kGroupValues,
                         .scales = rows_.As<float>(pass.scales_at()) + scales_at,
                         .corrections = rows_.As<int32_t>(pass.row_sums_at()) + sums_at,
                         .sums = rows_.As<float>(pass.row_sums_at()) + sums_at};
  };
  const auto first_block = static_cast<size_t>(row_begin / kBlockRows);
  if (num_rows <= kBlockRows && kernels_.multiply_packed != nullptr) {
    for (int64_t panel = 0; panel < panels.count; ++panel) {
      kernels_.multiply_packed(layout, panels[panel], pass.num_groups(), rows_at(first_block, 0),
                               num_rows, sums + panel * SumsStride(num_rows));
    }
    return;
  }
  // Chunks of about the same size: a short one costs as much to begin and to end as a long one.
  const int64_t num_chunks = CeilDiv(pass.num_groups(), kGroupsPerChunk);
  const int64_t groups_per_chunk = CeilDiv(pass.num_groups(), num_chunks);
  const size_t chunk_bytes = layout.record_bytes() * static_cast<size_t>(groups_per_chunk) /
                             static_cast<size_t>(layout.groups_per_record);
  for (int64_t group = 0; group < pass.num_groups(); group += groups_per_chunk) {
    const auto num_groups =
        static_cast<int>(std::min<int64_t>(groups_per_chunk, pass.num_groups() - group));
    for (int64_t panel = 0; panel < panels.count; ++panel) {
      GroupTile tile;
      kernels_.unpack(layout, panels[panel], group, num_groups, is_signed, &scratch.unpack, &tile);
      // What follows, of the next panel too: it is this thread's, or another's soon.
      const std::byte* chunk_end =
          panels[panel] + static_cast<size_t>(group / groups_per_chunk + 1) * chunk_bytes;
      float* panel_sums = sums + panel * SumsStride(num_rows);
      const auto num_blocks = static_cast<size_t>(CeilDiv(num_rows, kBlockRows));
      for (size_t b = 0; b < num_blocks; ++b) {
        tile.ahead = {chunk_end + chunk_bytes * b / num_blocks, chunk_bytes / num_blocks};
        kernels_.multiply_groups(
            tile, rows_at(first_block + b, static_cast<size_t>(group)),
            std::min<int64_t>(kBlockRows, num_rows - static_cast<int64_t>(b) * kBlockRows),
            panel_sums + b * kBlockRows * kPanelOutputs);
      }
    }
  }
}

void LinearRunner::MultiplyBf16(const Pass& pass, const Panels& panels, int64_t row_begin,
                                int64_t row_end, float* sums, ThreadScratch& scratch) {
  static_assert(kFusedUnits <= kUnitsPerChunk);
  const int64_t num_rows = row_end - row_begin;
  const auto block_stride = static_cast<size_t>(pass.block_stride());
  const uint16_t* rows = (pass.rows != nullptr ? pass.rows : rows_.As<uint16_t>()) +
                         row_begin / kBlockRows * pass.block_stride();
  const bool is_decoded = panels.part.encoding == Encoding::kGroups;
  if (is_decoded && num_rows <= kFusedRowsMax && kernels_.multiply_decoded != nullptr) {
    for (int64_t panel = 0; panel < panels.count; ++panel) {
      kernels_.multiply_decoded(*panels.part.layout, panels[panel], panels.part.exponent,
                                pass.num_units(), rows, block_stride, num_rows, &scratch.unpack,
                                scratch.units, sums + panel * SumsStride(num_rows));
    }
    return;
  }
  // Chunks of about the same size: a short one costs as much to begin and to end as a long one.
  const int64_t num_chunks = CeilDiv(pass.num_units(), kUnitsPerChunk);
  const int64_t units_per_chunk = CeilDiv(pass.num_units(), num_chunks);
  for (int64_t unit = 0; unit < pass.num_units(); unit += units_per_chunk) {
    const int64_t num_units = std::min(units_per_chunk, pass.num_units() - unit);
    for (int64_t panel = 0; panel < panels.count; ++panel) {
      const auto* units =
          reinterpret_cast<const uint16_t*>(panels[panel]) + unit * kBf16UnitValues * kPanelOutputs;
      if (is_decoded) {
        kernels_.decode_groups_bf16(*panels.part.layout, panels[panel], panels.part.exponent, unit,
                                    static_cast<int>(num_units), &scratch.unpack, scratch.units);
        units = scratch.units;
      }
      kernels_.multiply_bf16(units, num_units, rows + unit * kBlockRows * kBf16UnitValues,
                             block_stride, num_rows, /*add=*/unit > 0,
                             sums + panel * SumsStride(num_rows));
    }
  }
}

void LinearRunner::MultiplyInt16(const Pass& pass, const Panels& panels, int64_t row_begin,
                                 int64_t row_end, float* sums) {
  const auto block = static_cast<size_t>(row_begin / kBlockRows);
  Int16Rows rows;
  rows.codes_stride = pass.int16_codes_stride();
  rows.scales_stride = pass.int16_scales_stride();
  rows.codes = rows_.As<int16_t>() + block * rows.codes_stride;
  rows.scales = rows_.As<float>(pass.int16_scales_at()) + block * rows.scales_stride;
  const int64_t num_rows = row_end - row_begin;
  for (int64_t panel = 0; panel < panels.count; ++panel) {
    kernels_.multiply_int16(panels[panel], pass.num_inputs(), rows, num_rows,
                            sums + panel * SumsStride(num_rows));
  }
}

const float* LinearRunner::DecodeChunk(const PackedPart& part, const std::byte* panel,
                                       int64_t input_begin, int num_inputs,
                                       ThreadScratch& scratch) const {
  const int64_t first = input_begin * kPanelOutputs;
  switch (part.encoding) {
    case Encoding::kF32:
      return reinterpret_cast<const float*>(panel) + first;
    case Encoding::kF16:
      kernels_.decode_f16(reinterpret_cast<const uint16_t*>(panel) + first, num_inputs,
                          scratch.decoded);
      break;
    case Encoding::kBf16:
      kernels_.decode_bf16(reinterpret_cast<const uint16_t*>(panel) + first,
                           static_cast<int>(CeilDiv(num_inputs, kBf16UnitValues)), scratch.decoded);
      break;
    case Encoding::kInt16:
      break;  // always multiplied as it is
    case Encoding::kGroups: {
      GroupTile tile;
      kernels_.unpack(*part.layout, panel, input_begin / kGroupValues, num_inputs / kGroupValues,
                      false, &scratch.unpack, &tile);
      kernels_.decode_groups(tile, part.layout->zero, scratch.decoded);
      break;
    }
  }
  return scratch.decoded;
}

void LinearRunner::MultiplyF32(const Pass& pass, const Panels& panels, int64_t row_begin,
                               int64_t row_end, float* sums, ThreadScratch& scratch) {
  static_assert(kF32ChunkValues % kBf16UnitValues == 0 &&
                kF32ChunkValues <= kGroupsPerChunk * kGroupValues);
  const int64_t num_rows = row_end - row_begin;
  const float* x = pass.x.Row(row_begin);
  if (pass.preparation == Preparation::kNone && kernels_.multiply_dense != nullptr &&
      panels.part.encoding != Encoding::kGroups && pass.num_inputs() % kBf16UnitValues == 0) {
    for (int64_t panel = 0; panel < panels.count; ++panel) {
      kernels_.multiply_dense(panels.part.encoding, panels[panel], pass.num_inputs(), x,
                              pass.x.stride, num_rows, sums + panel * SumsStride(num_rows));
    }
    return;
  }
  const auto stored_bytes =  // of a chunk
      static_cast<int64_t>(panels.part.panel_bytes) * kF32ChunkValues / pass.num_inputs();
  for (int64_t begin = 0; begin < pass.num_inputs(); begin += kF32ChunkValues) {
    const auto num_inputs =
        static_cast<int>(std::min<int64_t>(kF32ChunkValues, pass.num_inputs() - begin));
    const bool is_cut = pass.preparation == Preparation::kF32Chunks;
    const float* chunk =
        is_cut ? rows_.As<float>() + begin * pass.x.rows + row_begin * num_inputs : x + begin;
    const int64_t stride = is_cut ? num_inputs : pass.x.stride;
    for (int64_t panel = 0; panel < panels.count; ++panel) {
      const float* w = DecodeChunk(panels.part, panels[panel], begin, num_inputs, scratch);
      const std::byte* next = panels[panel] + stored_bytes * (begin / kF32ChunkValues + 1);
      Prefetch(next, next + stored_bytes);
      kernels_.multiply_f32(w, num_inputs, chunk, stride, num_rows,
                            sums + panel * SumsStride(num_rows));
    }
  }
}

void LinearRunner::WriteOut(const Pass& pass, const PackedPart& part, int64_t panel,
                            int64_t row_begin, int64_t row_end, const float* sums) const {
  const int64_t first = panel * kPanelOutputs;
  const int64_t count = std::min<int64_t>(kPanelOutputs, part.num_outputs - first);
  const float* bias = pass.weight.bias();
  if (bias != nullptr) bias += part.output_begin + first;
  // Rows lie far apart, each a wait for memory that a store alone would begin too late.
  constexpr int64_t kRowsAhead = 16;
  for (int64_t row = row_begin; row < row_end; ++row, sums += kPanelOutputs) {
    if (row + kRowsAhead < row_end) {
      const float* ahead = pass.out.Row(row + kRowsAhead) + part.output_begin + first;
      __builtin_prefetch(ahead, 1);
      __builtin_prefetch(ahead + count - 1, 1);
    }
    kernels_.write_out(sums, bias, pass.accumulate, static_cast<int>(count),
                       pass.out.Row(row) + part.output_begin + first);
  }
}

void LinearRunner::WriteGated(const Pass& pass, const PackedPart& part, int64_t panel,
                              int64_t row_begin, int64_t row_end, const float* gates,
                              const float* ups) const {
  const int64_t first = panel * kPanelOutputs;
  const float* bias = pass.weight.bias();
  const float* up_bias = bias == nullptr ? nullptr : bias + part.num_outputs / 2 + first;
  if (bias != nullptr) bias += first;
  // A panel's outputs are a unit of the next linear's inputs.
  static_assert(kPanelOutputs == kBf16UnitValues);
  const int64_t unit_at = panel * kBlockRows * kBf16UnitValues;
  for (int64_t row = row_begin; row < row_end; ++row) {
    alignas(64) float gate[kPanelOutputs];
    alignas(64) float up[kPanelOutputs];
    alignas(64) float gated[kPanelOutputs];
    if (bias != nullptr) {
      kernels_.write_out(gates, bias, /*accumulate=*/false, kPanelOutputs, gate);
      kernels_.write_out(ups, up_bias, /*accumulate=*/false, kPanelOutputs, up);
    }
    float* to = pass.gated_rows != nullptr ? gated : pass.out.Row(row) + panel * kPanelOutputs;
    vector_kernels_.gated_activation(bias != nullptr ? gate : gates, bias != nullptr ? up : ups,
                                     *pass.gated, kPanelOutputs, to);
    if (pass.gated_rows != nullptr) {
      const int64_t block_at = row / kBlockRows * kBlockRows * pass.out.cols;
      kernels_.round_row(gated, kPanelOutputs, 0,
                         pass.gated_rows + block_at + unit_at + row % kBlockRows * kBf16UnitValues);
    }
    gates += kPanelOutputs;
    ups += kPanelOutputs;
  }
}

}  // namespace retort::cpu
