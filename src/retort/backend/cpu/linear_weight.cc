#include "retort/backend/cpu/linear_weight.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "retort/backend/cpu/linear_kernels.h"
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
  constexpr size_t kCacheLineBytes = 64;
  for (size_t at = begin; at < begin + num_bytes; at += kCacheLineBytes) {
    __builtin_prefetch(panel.end + at, 0, 2);
  }
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

[[noreturn]] void ThrowNotFiniteBf16(const TensorView& tensor, const std::byte* row,
                                     int64_t begin) {
  int64_t k = begin;
  while ((LoadAs<uint16_t>(row + 2 * k) & 0x7f80) != 0x7f80) ++k;
  ThrowNotFinite(tensor, row, k);
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
      if ((not_finite & kSigns) != 0) ThrowNotFiniteBf16(*panel.tensors[n], row, begin);
    }
  }
}

void PackInt16(const LinearKernels& kernels, const PanelRows& panel, int64_t num_inputs,
               std::byte* out) {
  for (int64_t begin = 0; begin < num_inputs; begin += kInt16ChunkValues, out += kInt16ChunkBytes) {
    const auto count = static_cast<int>(std::min<int64_t>(kInt16ChunkValues, num_inputs - begin));
    const size_t source_bytes = kPanelOutputs * static_cast<size_t>(count) * sizeof(uint16_t);
    PrefetchNext(panel, static_cast<size_t>(begin) * kPanelOutputs * sizeof(uint16_t),
                 source_bytes);
    alignas(64) int16_t codes[kPanelOutputs][kInt16ChunkValues];
    float scales[kPanelOutputs] = {};
    std::memset(codes + panel.count, 0, (kPanelOutputs - panel.count) * sizeof codes[0]);
    for (size_t n = 0; n < panel.count; ++n) {
      const std::byte* values = panel.rows[n] + static_cast<size_t>(begin) * sizeof(uint16_t);
      if (!kernels.quantize_bf16(values, count, codes[n], &scales[n])) {
        ThrowNotFiniteBf16(*panel.tensors[n], panel.rows[n], begin);
      }
    }
    std::memcpy(out, scales, sizeof scales);
    std::byte* to = out + kInt16ScaleBytes;
    for (int pair = 0; pair < (count + 1) / 2; ++pair) {
      for (int n = 0; n < kPanelOutputs; ++n, to += 4) std::memcpy(to, codes[n] + 2 * pair, 4);
    }
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

void PackPanel(const LinearKernels& kernels, const PackedPart& part, const PanelRows& panel,
               int64_t num_inputs, std::byte* out) {
  switch (part.encoding) {
    case Encoding::kF32:
      return PackColumns<uint32_t>(panel, num_inputs, 0x7f800000u, out);
    case Encoding::kF16:
      return PackColumns<uint16_t>(panel, num_inputs, 0x7c00, out);
    case Encoding::kBf16:
      return PackUnits(panel, num_inputs, part.panel_bytes, out);
    case Encoding::kInt16:
      return PackInt16(kernels, panel, num_inputs, out);
    case Encoding::kGroups:
      return PackGroups(*part.layout, panel, num_inputs, out);
  }
}

size_t PanelBytes(const PackedPart& part, int64_t num_inputs) {
  const auto k = static_cast<size_t>(num_inputs);
  switch (part.encoding) {
    case Encoding::kF32:
      return k * kPanelOutputs * 4;
    case Encoding::kF16:
      return k * kPanelOutputs * 2;
    case Encoding::kBf16:
      return (k + kBf16UnitValues - 1) / kBf16UnitValues * kBf16UnitValues * kPanelOutputs * 2;
    case Encoding::kInt16:
      return (k + kInt16ChunkValues - 1) / kInt16ChunkValues * kInt16ScaleBytes +
             (k + 1) / 2 * kInt16PairBytes;
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

void PackPart(ThreadPool& pool, WeightArena& arena, const LinearKernels& kernels,
              std::span<const TensorView> tensors, int64_t num_inputs, PackedPart* part) {
  for (const TensorView& tensor : tensors) {
    const int64_t expected = RowBytes(tensor) * tensor.shape[0];
    if (static_cast<int64_t>(tensor.bytes.size()) < expected) {
      Throw(ErrorCode::kCorrupt, "tensor '{}' {}: expected {} bytes, found {}", tensor.name,
            tensor.shape.ToString(), expected, tensor.bytes.size());
    }
    part->num_outputs += tensor.shape[0];
  }
  part->num_panels = (part->num_outputs + kPanelOutputs - 1) / kPanelOutputs;
  part->panel_bytes = PanelBytes(*part, num_inputs);
  part->piece = arena.Allocate(static_cast<size_t>(part->num_panels) * part->panel_bytes);
  std::vector<float> largest(static_cast<size_t>(part->num_panels));
  const auto pack_panel = [&](int64_t panel) {
    std::byte* out = part->piece.data + static_cast<size_t>(panel) * part->panel_bytes;
    PackPanel(kernels, *part, FindRows(tensors, panel * kPanelOutputs, part->num_outputs),
              num_inputs, out);
    if (part->encoding == Encoding::kGroups) {
      const int64_t num_records = num_inputs / kGroupValues / part->layout->groups_per_record;
      largest[static_cast<size_t>(panel)] = LargestWeight(*part->layout, out, num_records);
    }
  };
  // What a thread asks the system to provide at a time, at most, and the share it has to get.
  constexpr size_t kPieceBytes = size_t{512} << 10;
  constexpr int64_t kPiecesPerThread = 4;
  const int64_t panels_per_piece =
      std::clamp<int64_t>(part->num_panels / (kPiecesPerThread * pool.num_threads()), 1,
                          static_cast<int64_t>(kPieceBytes / part->panel_bytes) + 1);
  const int64_t num_pieces = (part->num_panels + panels_per_piece - 1) / panels_per_piece;
  pool.ParallelFor(num_pieces, [&](int64_t piece, int) {
    const int64_t begin = piece * panels_per_piece;
    const int64_t end = std::min(begin + panels_per_piece, part->num_panels);
    ProvideRows(tensors, begin * kPanelOutputs, end * kPanelOutputs);
    ProvidePages(part->piece.data + static_cast<size_t>(begin) * part->panel_bytes,
                 static_cast<size_t>(end - begin) * part->panel_bytes);
    for (int64_t panel = begin; panel < end; ++panel) pack_panel(panel);
  });
  part->exponent = ExponentOf(*std::max_element(largest.begin(), largest.end()));
}

}  // namespace

WeightArena::Piece WeightArena::Allocate(size_t bytes) {
  const size_t rounded = (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
  if (rounded >= kArenaBlockBytes / 2) {
    auto own = memory_.Allocate(rounded);
    return {own, own->data()};
  }
  if (!block_ || used_ + rounded > block_->size()) {
    block_ = memory_.Allocate(kArenaBlockBytes);
    used_ = 0;
  }
  Piece piece{block_, block_->data() + used_};
  used_ += rounded;
  return piece;
}

size_t CpuLinearWeight::size_bytes() const {
  size_t bytes = bias_.size() * sizeof(float);
  for (const PackedPart& part : parts_) {
    bytes += static_cast<size_t>(part.num_panels) * part.panel_bytes;
  }
  return bytes;
}

std::unique_ptr<CpuLinearWeight> CpuLinearWeight::Pack(ThreadPool& pool, WeightArena& arena,
                                                       const LinearKernels& kernels,
                                                       std::span<const TensorView> parts,
                                                       std::span<const TensorView> bias,
                                                       Compute compute) {
  auto weight = std::make_unique<CpuLinearWeight>();
  weight->num_inputs_ = parts[0].shape[1];
  weight->compute_ = compute;
  // Neighbours of one format become one part: fewer, fuller panels.
  for (size_t begin = 0, end = 0; begin < parts.size(); begin = end) {
    while (end < parts.size() && parts[end].format == parts[begin].format) ++end;
    PackedPart part;
    part.encoding = EncodingOf(parts[begin], compute, kernels);
    part.layout = FindGroupLayout(parts[begin].format);
    part.output_begin = weight->num_outputs_;
    PackPart(pool, arena, kernels, parts.subspan(begin, end - begin), weight->num_inputs_, &part);
    weight->num_outputs_ += part.num_outputs;
    weight->parts_.push_back(std::move(part));
  }
  if (std::any_of(bias.begin(), bias.end(), [](const auto& b) { return !b.bytes.empty(); })) {
    weight->bias_.assign(static_cast<size_t>(weight->num_outputs_), 0.0f);
    float* to = weight->bias_.data();
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!bias[i].bytes.empty()) {
        CheckFinite(bias[i]);
        DecodeRows(bias[i], 0, 1, to);
      }
      to += parts[i].shape[0];
    }
  }
  return weight;
}

}  // namespace retort::cpu
