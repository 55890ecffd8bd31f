#include "retort/backend/cpu/linear_weight.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "retort/backend/cpu/linear_kernels.h"
#include "retort/backend/cpu/prefetch.h"
#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort::cpu {
namespace {

constexpr size_t kArenaBlockBytes = size_t{32} << 20;
constexpr size_t kArenaAlignment = 64;

Encoding EncodingOf(const TensorView& tensor, Compute compute, const LinearKernels& kernels) {
  switch (tensor.format) {
    case Format::kF32:
      return Encoding::kF32;
    case Format::kF16:
      return Encoding::kF16;
    case Format::kBF16:
      return compute == Compute::kNative && kernels.multiply_int16 != nullptr ? Encoding::kInt16
                                                                              : Encoding::kBf16;
    default:
      break;
  }
  if (FindGroupLayout(tensor.format) == nullptr) {
    Throw(
        ErrorCode::kUnsupported,
        "tensor '{}' is stored as {}: the cpu device multiplies F32, F16, BF16, Q4_0, Q4_1, Q5_0, "
        "Q5_1, Q8_0, Q4_K, Q5_K and Q6_K",
        tensor.name, tensor.source_type.empty() ? Info(tensor.format).name : tensor.source_type);
  }
  return Encoding::kGroups;
}

// The stored rows of a panel, at most kPanelOutputs of them, and whose they are.
struct PanelRows {
  std::array<const std::byte*, kPanelOutputs> rows;
  std::array<const TensorView*, kPanelOutputs> tensors;
  size_t count = 0;
  const std::byte* end = nullptr;  // of the last one: where the next panel mostly begins
};

PanelRows FindRows(std::span<const TensorView> tensors, int64_t first, int64_t num_outputs) {
  PanelRows panel;
  int64_t begin = 0;
  for (const TensorView& tensor : tensors) {
    const int64_t end = begin + tensor.shape[0];
    const int64_t row_bytes = RowBytes(tensor);
    while (panel.count < kPanelOutputs && first + static_cast<int64_t>(panel.count) < end &&
           first + static_cast<int64_t>(panel.count) < num_outputs) {
      const int64_t row = first + static_cast<int64_t>(panel.count) - begin;
      panel.rows[panel.count] = tensor.bytes.data() + row * row_bytes;
      panel.tensors[panel.count] = &tensor;
      panel.end = panel.rows[panel.count] + row_bytes;
      ++panel.count;
    }
    begin = end;
  }
  return panel;
}

[[noreturn]] void ThrowNotFinite(const TensorView& tensor, const std::byte* row, int64_t k) {
  Throw(ErrorCode::kCorrupt, "tensor '{}' ({} {}): value [{}, {}] is not finite", tensor.name,
        Info(tensor.format).name, tensor.shape.ToString(),
        (row - tensor.bytes.data()) / RowBytes(tensor), k);
}

// Source rows are walked side by side, a cache line of each at a time, so that what is stored close
// together is stored at about the same time.

// Asks for a stretch of the next panel's rows while this one's are packed.
void PrefetchNext(const PanelRows& panel, size_t begin, size_t num_bytes) {
  Prefetch(panel.end + begin, panel.end + begin + num_bytes);
}

// Values of T bits, [k][32].
template <typename T>
void PackColumns(const PanelRows& panel, int64_t num_inputs, T exponent_mask, std::byte* out) {
  constexpr int64_t kStretch = 64 / sizeof(T);
  for (int64_t begin = 0; begin < num_inputs; begin += kStretch) {
    const int64_t end = std::min(begin + kStretch, num_inputs);
    for (size_t n = 0; n < kPanelOutputs; ++n) {
      for (int64_t k = begin; k < end; ++k) {
        T value = 0;
        if (n < panel.count) {
          value = LoadAs<T>(panel.rows[n] + static_cast<size_t>(k) * sizeof(T));
          if ((value & exponent_mask) == exponent_mask) {
            ThrowNotFinite(*panel.tensors[n], panel.rows[n], k);
          }
        }
        StoreAs<T>(out + (static_cast<size_t>(k) * kPanelOutputs + n) * sizeof(T), value);
      }
    }
  }
}

// Names the first value of the stretch that is not finite, if there is one.
void CheckFiniteBf16(const PanelRows& panel, size_t n, int64_t begin, int64_t count) {
  for (int64_t k = begin; k < begin + count; ++k) {
    if ((LoadAs<uint16_t>(panel.rows[n] + 2 * k) & 0x7f80) == 0x7f80) {
      ThrowNotFinite(*panel.tensors[n], panel.rows[n], k);
    }
  }
}

void PackUnits(const PanelRows& panel, int64_t num_inputs, size_t panel_bytes, std::byte* out) {
  constexpr int64_t kQuads = kBf16UnitValues / 4;
  // An exponent of all ones carries into the sign's place.
  constexpr uint64_t kExponents = 0x7f807f807f807f80u;
  constexpr uint64_t kCarries = 0x0080008000800080u;
  constexpr uint64_t kSigns = 0x8000800080008000u;
  if (panel.count < kPanelOutputs || num_inputs % kBf16UnitValues != 0) {
    std::memset(out, 0, panel_bytes);
  }
  for (int64_t begin = 0; begin < num_inputs; begin += kBf16UnitValues, out += 2048) {
    constexpr size_t kSourceBytes = kPanelOutputs * kBf16UnitValues * sizeof(uint16_t);
    PrefetchNext(panel, static_cast<size_t>(begin) * kPanelOutputs * sizeof(uint16_t),
                 kSourceBytes);
    const int64_t num_quads = std::min(kQuads, (num_inputs - begin) / 4);
    for (size_t n = 0; n < panel.count; ++n) {
      const std::byte* row = panel.rows[n];
      std::byte* lane = out + n / 16 * 1024 + n % 16 * 4;
      uint64_t not_finite = 0;
      const auto store_quad = [&](int64_t quad, uint64_t four) {
        const uint64_t second = four >> 16;
        StoreAs<uint32_t>(lane + 128 * quad,
                          static_cast<uint32_t>((four & 0xffff) | (second & 0xffff0000)));
        StoreAs<uint32_t>(lane + 128 * quad + 64,
                          static_cast<uint32_t>((second & 0xffff) | (four >> 48 << 16)));
        not_finite |= (four & kExponents) + kCarries;
      };
      for (int64_t quad = 0; quad < num_quads; ++quad) {
        store_quad(quad, LoadAs<uint64_t>(row + 2 * begin + 8 * quad));
      }
      if (num_quads < kQuads && num_inputs % 4 != 0) {
        uint64_t last = 0;
        const auto num_last = static_cast<size_t>(num_inputs % 4);
        std::memcpy(&last, row + 2 * (num_inputs - num_inputs % 4), 2 * num_last);
        store_quad(num_quads, last);
      }
      if ((not_finite & kSigns) != 0) {
        CheckFiniteBf16(panel, n, begin, std::min<int64_t>(kBf16UnitValues, num_inputs - begin));
      }
    }
  }
}

void PackInt16(const LinearKernels& kernels, const PanelRows& panel, int64_t num_inputs,
               std::byte* out) {
  // What the panel or its last chunk lacks.
  alignas(64) uint16_t filled[kPanelOutputs][kInt16ChunkValues];
  const std::byte* outputs[kPanelOutputs];
  for (int64_t begin = 0; begin < num_inputs; begin += kInt16ChunkValues, out += kInt16ChunkBytes) {
    const auto count = std::min<int64_t>(kInt16ChunkValues, num_inputs - begin);
    const size_t row_bytes = static_cast<size_t>(count) * sizeof(uint16_t);
    const std::byte* next =
        panel.end + static_cast<size_t>(begin) * kPanelOutputs * sizeof(uint16_t);
    for (size_t n = 0; n < kPanelOutputs; ++n) {
      const bool is_there = n < panel.count;
      const std::byte* row =
          is_there ? panel.rows[n] + static_cast<size_t>(begin) * sizeof(uint16_t) : nullptr;
      outputs[n] = row;
      if (is_there && count == kInt16ChunkValues) continue;
      std::memset(filled[n], 0, sizeof filled[n]);
      if (is_there) std::memcpy(filled[n], row, row_bytes);
      outputs[n] = reinterpret_cast<const std::byte*>(filled[n]);
    }
    if (kernels.pack_int16_chunk(outputs, static_cast<int>(Int16Blocks(count)), next, out))
      continue;
    for (size_t n = 0; n < panel.count; ++n) CheckFiniteBf16(panel, n, begin, count);
  }
}

void PackGroups(const GroupLayout& layout, const PanelRows& panel, int64_t num_inputs,
                std::byte* out) {
  const int64_t num_records = num_inputs / kGroupValues / layout.groups_per_record;
  bool finite = true;
  const size_t source_bytes = kPanelOutputs * static_cast<size_t>(layout.block_bytes);
  for (int64_t record = 0; record < num_records; ++record) {
    PrefetchNext(panel, static_cast<size_t>(record) * source_bytes, source_bytes);
    finite &= PackRecord(layout, {panel.rows.data(), panel.count}, record,
                         out + static_cast<size_t>(record) * layout.record_bytes());
  }
  if (finite) return;
  for (size_t n = 0; n < panel.count; ++n) CheckFinite(*panel.tensors[n]);  // names the block
}

size_t PanelBytes(const PackedPart& part) {
  const auto k = static_cast<size_t>(part.num_inputs);
  switch (part.encoding) {
    case Encoding::kF32:
      return k * kPanelOutputs * 4;
    case Encoding::kF16:
      return k * kPanelOutputs * 2;
    case Encoding::kBf16:
      return (k + kBf16UnitValues - 1) / kBf16UnitValues * kBf16UnitValues * kPanelOutputs * 2;
    case Encoding::kInt16:
      return (k + kInt16ChunkValues - 1) / kInt16ChunkValues * kInt16ScaleBytes +
             static_cast<size_t>(Int16Blocks(part.num_inputs)) * kInt16BlockBytes;
    case Encoding::kGroups:
      return k / kGroupValues / static_cast<size_t>(part.layout->groups_per_record) *
             part.layout->record_bytes();
  }
  return 0;
}

// Has the system provide the stored rows [first, end) of the stacked tensors.
void ProvideRows(std::span<const TensorView> tensors, int64_t first, int64_t end) {
  int64_t begin = 0;
  for (const TensorView& tensor : tensors) {
    const int64_t from = std::clamp<int64_t>(first - begin, 0, tensor.shape[0]);
    const int64_t to = std::clamp<int64_t>(end - begin, 0, tensor.shape[0]);
    const int64_t row_bytes = RowBytes(tensor);
    if (from < to) {
      ProvidePages(tensor.bytes.data() + from * row_bytes,
                   static_cast<size_t>((to - from) * row_bytes));
    }
    begin += tensor.shape[0];
  }
}

// See PackedPart::exponent: 0 where weights suit f16 · 2^-16 as they are, with room for rounding.
int ExponentOf(float largest) {
  constexpr float kRoom = 1.01f;
  constexpr float kSmallest = 0x1p-12f;
  constexpr int kExponentMin = -14;  // 2^30 is what two f16 factors reach
  if (largest * kRoom < 1 && largest >= kSmallest) return 0;
  return largest == 0 ? 0 : std::max(std::ilogb(largest * kRoom) + 1, kExponentMin);
}

PackedPart MakePart(WeightArena& arena, const LinearKernels& kernels,
                    std::span<const TensorView> tensors, Compute compute) {
  PackedPart part;
  part.encoding = EncodingOf(tensors[0], compute, kernels);
  part.layout = FindGroupLayout(tensors[0].format);
  part.num_inputs = tensors[0].shape[1];
  for (const TensorView& tensor : tensors) {
    const int64_t expected = RowBytes(tensor) * tensor.shape[0];
    if (static_cast<int64_t>(tensor.bytes.size()) < expected) {
      Throw(ErrorCode::kCorrupt, "tensor '{}' {}: expected {} bytes, found {}", tensor.name,
            tensor.shape.ToString(), expected, tensor.bytes.size());
    }
    part.num_outputs += tensor.shape[0];
  }
  part.num_panels = (part.num_outputs + kPanelOutputs - 1) / kPanelOutputs;
  part.panel_bytes = PanelBytes(part);
  part.piece = arena.Allocate(part.size_bytes());
  part.promise = MemoryPromise(part.size_bytes());
  part.stored.assign(tensors.begin(), tensors.end());
  return part;
}

bool NeedsExponent(const PackedPart& part, const LinearKernels& kernels) {
  return part.encoding == Encoding::kGroups && kernels.groups_as_bf16;
}

// Packs all panels, each to out_of(panel, thread), and finds the part's exponent if it needs one.
template <typename OutOf>
void PackPanels(ThreadPool& pool, const LinearKernels& kernels, PackedPart* part,
                const OutOf& out_of) {
  const bool needs_exponent = NeedsExponent(*part, kernels);
  std::vector<float> largest(static_cast<size_t>(part->num_panels));
  // What a thread packs at a time, at most, and the share it has to get.
  constexpr size_t kPieceBytes = size_t{512} << 10;
  constexpr int64_t kPiecesPerThread = 4;
  const int64_t panels_per_piece =
      std::clamp<int64_t>(part->num_panels / (kPiecesPerThread * pool.num_threads()), 1,
                          static_cast<int64_t>(kPieceBytes / part->panel_bytes) + 1);
  const int64_t num_pieces = (part->num_panels + panels_per_piece - 1) / panels_per_piece;
  pool.ParallelFor(num_pieces, [&](int64_t piece, int thread) {
    const int64_t begin = piece * panels_per_piece;
    const int64_t end = std::min(begin + panels_per_piece, part->num_panels);
    for (int64_t panel = begin; panel < end; ++panel) {
      std::byte* out = out_of(panel, thread);
      part->PackPanel(kernels, panel, out);
      if (needs_exponent) {
        const int64_t num_records =
            part->num_inputs / kGroupValues / part->layout->groups_per_record;
        largest[static_cast<size_t>(panel)] = LargestWeight(*part->layout, out, num_records);
      }
    }
  });
  part->exponent = ExponentOf(*std::max_element(largest.begin(), largest.end()));
}

}  // namespace

WeightArena::Piece WeightArena::Allocate(size_t bytes) {
  const size_t rounded = (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
  if (rounded >= kArenaBlockBytes / 2) {
    auto own = std::make_shared<AlignedBytes>(rounded);
    return {own, own->data()};
  }
  if (!block_ || used_ + rounded > block_->size()) {
    block_ = std::make_shared<AlignedBytes>(kArenaBlockBytes);
    used_ = 0;
  }
  Piece piece{block_, block_->data() + used_};
  used_ += rounded;
  return piece;
}

void PackedPart::PackPanel(const LinearKernels& kernels, int64_t panel, std::byte* out) const {
  // The next panel's, which is asked for while this one is packed: a processor drops requests for
  // pages that are not mapped yet. A stretch's first panel maps its own as it is read.
  ProvideRows(stored, (panel + 1) * kPanelOutputs, (panel + 2) * kPanelOutputs);
  const PanelRows rows = FindRows(stored, panel * kPanelOutputs, num_outputs);
  switch (encoding) {
    case Encoding::kF32:
      return PackColumns<uint32_t>(rows, num_inputs, 0x7f800000u, out);
    case Encoding::kF16:
      return PackColumns<uint16_t>(rows, num_inputs, 0x7c00, out);
    case Encoding::kBf16:
      return PackUnits(rows, num_inputs, panel_bytes, out);
    case Encoding::kInt16:
      return PackInt16(kernels, rows, num_inputs, out);
    case Encoding::kGroups:
      return PackGroups(*layout, rows, num_inputs, out);
  }
}

CpuLinearWeight::CpuLinearWeight(WeightArena& arena, const LinearKernels& kernels,
                                 std::span<const TensorView> parts,
                                 std::span<const TensorView> bias, Compute compute)
    : num_inputs_(parts[0].shape[1]), compute_(compute) {
  // Neighbours of one format become one part: fewer, fuller panels.
  for (size_t begin = 0, end = 0; begin < parts.size(); begin = end) {
    while (end < parts.size() && parts[end].format == parts[begin].format) ++end;
    PackedPart part = MakePart(arena, kernels, parts.subspan(begin, end - begin), compute);
    part.output_begin = num_outputs_;
    num_outputs_ += part.num_outputs;
    parts_.push_back(std::move(part));
  }
  if (std::any_of(bias.begin(), bias.end(), [](const auto& b) { return !b.bytes.empty(); })) {
    bias_.assign(static_cast<size_t>(num_outputs_), 0.0f);
    float* to = bias_.data();
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!bias[i].bytes.empty()) {
        CheckFinite(bias[i]);
        DecodeRows(bias[i], 0, 1, to);
      }
      to += parts[i].shape[0];
    }
  }
}

CpuLinearWeight::~CpuLinearWeight() {
  if (late_ != nullptr) late_->Remove(this);
}

size_t CpuLinearWeight::size_bytes() const {
  size_t bytes = bias_.size() * sizeof(float);
  for (const PackedPart& part : parts_) bytes += part.size_bytes();
  return bytes;
}

void CpuLinearWeight::Pack(ThreadPool& pool, const LinearKernels& kernels) {
  for (PackedPart& part : parts_) {
    if (part.is_packed()) continue;  // when the one after it was refused
    PackPanels(pool, kernels, &part, [&](int64_t panel, int) {
      ProvidePages(part.Panel(panel), part.panel_bytes);
      return part.Panel(panel);
    });
    part.stored.clear();
    part.promise = {};
  }
}

void LateWeights::Add(CpuLinearWeight* weight) {
  for (const PackedPart& part : weight->parts_) {
    if (part.panel_bytes <= panel_bytes_max_) continue;
    panel_bytes_max_ = (part.panel_bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
    panels_ = AlignedBytes(panel_bytes_max_ * static_cast<size_t>(pool_.num_threads()));
  }
  for (PackedPart& part : weight->parts_) {
    if (!NeedsExponent(part, kernels_)) continue;
    PackPanels(pool_, kernels_, &part, [&](int64_t, int thread) { return Panel(thread); });
  }
  weights_.push_back(weight);
  weight->late_ = this;
}

void LateWeights::Remove(CpuLinearWeight* weight) {
  std::erase(weights_, weight);
  weight->late_ = nullptr;
}

void LateWeights::PackSome() {
  for (size_t num_bytes = 0; !weights_.empty() && num_bytes < kBytesPerStep;) {
    CpuLinearWeight* weight = weights_.front();
    weight->Pack(pool_, kernels_);
    num_bytes += weight->size_bytes();
    Remove(weight);
  }
}

}  // namespace retort::cpu
