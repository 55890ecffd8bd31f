#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include "retort/backend/cpu/tile_avx512.h"

#include <algorithm>
#include <array>

// AVX-512 F: f32 products of stored f32, f16 and bf16 without a way through memory: for few rows,
// whose products take less time than to store and load decoded weights.
namespace retort::cpu {
namespace {

constexpr int kTileRows = 8;
constexpr int kQuadInputs = 4;

template <Encoding kEncoding>
constexpr size_t kInputBytes = kPanelOutputs*(kEncoding == Encoding::kF32 ? 4 : 2);

// Four inputs of all outputs, as they are stored.
template <Encoding kEncoding>
class Quad {
 public:
  RETORT_AVX512 RETORT_INLINE Quad(const std::byte* weights, int quad) {
    if constexpr (kEncoding == Encoding::kBf16) {
      constexpr int kUnitQuads = kBf16UnitValues / kQuadInputs;
      const std::byte* pairs =
          weights +
          static_cast<size_t>(quad / kUnitQuads) * kBf16UnitValues * kInputBytes<kEncoding> +
          quad % kUnitQuads * 128;
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        pairs_[0][half] = _mm512_loadu_si512(pairs + half * 1024);
        pairs_[1][half] = _mm512_loadu_si512(pairs + half * 1024 + 64);
      }
    } else {
      inputs_ = weights + static_cast<size_t>(quad) * kQuadInputs * kInputBytes<kEncoding>;
    }
  }

  // Input i of outputs 16 · half ...
  RETORT_AVX512 RETORT_INLINE __m512 Input(int i, int half) const {
    if constexpr (kEncoding == Encoding::kBf16) {
      static_assert(PlaceInUnit(1) == 2 && PlaceInUnit(2) == 1);
      const __m512i pairs = pairs_[i % 2][half];
      const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
      return _mm512_castsi512_ps(i < 2 ? _mm512_slli_epi32(pairs, 16)
                                       : _mm512_and_si512(pairs, upper));
    } else if constexpr (kEncoding == Encoding::kF16) {
      return LoadHalves(inputs_ + i * 64 + half * 32);
    } else {
      return _mm512_loadu_ps(reinterpret_cast<const float*>(inputs_ + i * 128) + half * 16);
    }
  }

 private:
  const std::byte* inputs_ = nullptr;
  __m512i pairs_[2][2];
};

// One tile of rows, up to kF32ChunkValues inputs. `ahead`: of kLines of a quad's cache lines, how
// far from the weights lies what is asked for meanwhile.
template <Encoding kEncoding, int kRows, int kLines>
RETORT_AVX512 void MultiplyTile(const std::byte* weights, int num_quads, size_t ahead,
                                const float* x, int64_t x_stride, float* sums) {
  constexpr size_t kQuadBytes = kQuadInputs * kInputBytes<kEncoding>;
  __m512 sum[kRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  for (int index = 0; index < num_quads; ++index, x += kQuadInputs, ahead += kQuadBytes) {
#pragma GCC unroll 8
    for (size_t line = 0; line < kLines; ++line) {
      __builtin_prefetch(weights + ahead + line * kCacheLineBytes, 0, 3);
    }
    const Quad<kEncoding> quad(weights, index);
#pragma GCC unroll 4
    for (int i = 0; i < kQuadInputs; ++i) {
      const __m512 w0 = quad.Input(i, 0);
      const __m512 w1 = quad.Input(i, 1);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512 value = _mm512_set1_ps(x[r * x_stride + i]);
        sum[r][0] = _mm512_fmadd_ps(value, w0, sum[r][0]);
        sum[r][1] = _mm512_fmadd_ps(value, w1, sum[r][1]);
      }
    }
  }
  AddToSums(sum, sums);
}

template <Encoding kEncoding, int kLines>
constexpr auto kByRows =
    std::to_array<void (*)(const std::byte*, int, size_t, const float*, int64_t, float*)>({
        nullptr,
        MultiplyTile<kEncoding, 1, kLines>,
        MultiplyTile<kEncoding, 2, kLines>,
        MultiplyTile<kEncoding, 3, kLines>,
        MultiplyTile<kEncoding, 4, kLines>,
        MultiplyTile<kEncoding, 5, kLines>,
        MultiplyTile<kEncoding, 6, kLines>,
        MultiplyTile<kEncoding, 7, kLines>,
        MultiplyTile<kEncoding, 8, kLines>,
    });

// Meanwhile the chunk that follows is asked for: by one tile, or by two that walk through the same
// chunk, each half of every quad.
template <Encoding kEncoding>
void MultiplyPanel(const std::byte* panel, int64_t num_inputs, const float* x, int64_t x_stride,
                   int64_t num_rows, float* sums) {
  constexpr int kQuadLines = kQuadInputs * kInputBytes<kEncoding> / kCacheLineBytes;
  constexpr size_t kChunkBytes = kF32ChunkValues * kInputBytes<kEncoding>;
  static_assert(2 * kTileRows == kBlockRows);
  const bool is_alone = num_rows <= kTileRows;
  const auto& kernels =
      is_alone ? kByRows<kEncoding, kQuadLines> : kByRows<kEncoding, kQuadLines / 2>;
  for (int64_t k = 0; k < num_inputs; k += kF32ChunkValues) {
    const auto num_quads =
        static_cast<int>(std::min<int64_t>(kF32ChunkValues, num_inputs - k) / kQuadInputs);
    const std::byte* weights = panel + static_cast<size_t>(k) * kInputBytes<kEncoding>;
    ForEvenTiles(num_rows, kTileRows, [&](int64_t row, int64_t count) {
      const size_t ahead = kChunkBytes + (row == 0 ? 0 : kQuadLines / 2 * kCacheLineBytes);
      kernels[count](weights, num_quads, ahead, x + row * x_stride + k, x_stride,
                     sums + row * kPanelOutputs);
    });
  }
}

void MultiplyDense(Encoding encoding, const std::byte* panel, int64_t num_inputs, const float* x,
                   int64_t x_stride, int64_t num_rows, float* sums) {
  const auto multiply = encoding == Encoding::kBf16  ? MultiplyPanel<Encoding::kBf16>
                        : encoding == Encoding::kF16 ? MultiplyPanel<Encoding::kF16>
                                                     : MultiplyPanel<Encoding::kF32>;
  multiply(panel, num_inputs, x, x_stride, num_rows, sums);
}

}  // namespace

void AddAvx512Dense(LinearKernels* kernels) { kernels->multiply_dense = MultiplyDense; }

}  // namespace retort::cpu

#else

namespace retort::cpu {
void AddAvx512Dense(LinearKernels*) {}
}  // namespace retort::cpu

#endif
