#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/tensor/tensor_view.h"

// What a device is, and the table of operations a backend fills. The contract only: nothing here
// computes. Letters: T tokens of a step, S sequences of a step, R rows that want logits, E
// model_dim, H query heads, G key/value heads, D head_dim, F ffn_dim, V vocabulary, N outputs and K
// inputs of a linear.
//
// Rules every backend keeps:
//  - Operations of one device run in the order they were called; they may return before they are
//  done.
//    `Synchronize` and the calls that hand values to the host wait.
//  - Batch invariance: what a row (a token, a sequence) gets does not depend on the other rows of
//  the call,
//    on their number, or on how a prompt was cut into steps. The same row gives the same bits.
//  - No operation allocates device memory. Packing, uploads of descriptors and `Create*` may.
//  - Arguments that contradict each other (shapes, formats, sizes) are Error{kInternal}: they come
//  from
//    our own code. What a backend cannot do is Error{kUnsupported} when a weight or cache is made,
//    never later.
//  - A device is used by one thread at a time.
namespace retort {

// Memory that lives on a device. Freed with the object; the device must outlive it.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual size_t size_bytes() const = 0;
};

// A view of f32 values in a buffer: rows × cols, row-major, rows `stride` values apart.
struct Matrix {
  Buffer* buffer = nullptr;
  size_t offset = 0;  // of the first value, in values
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  // Rows [begin, end) of this view.
  Matrix Rows(int64_t begin, int64_t end) const {
    Matrix view = *this;
    view.offset += static_cast<size_t>(begin * stride);
    view.rows = end - begin;
    return view;
  }
  // Columns [begin, end) of this view.
  Matrix Cols(int64_t begin, int64_t end) const {
    Matrix view = *this;
    view.offset += static_cast<size_t>(begin);
    view.cols = end - begin;
    return view;
  }
};

// How a linear treats its activations.
enum class Compute {
  kNative,  // as the stored weights allow at full speed: 8-bit groups of 32 or bf16 for integer
            // weights, whichever the device multiplies faster; bf16, 16-bit chunks of 128 or f32
            // for bf16
  kExact,   // activations stay f32, products and sums are at least f32: what goldens judge strictly
};

// y = x Wᵀ + b, packed for the device's matrix unit. W is [N, K].
class LinearWeight {
 public:
  virtual ~LinearWeight() = default;
  virtual int64_t num_outputs() const = 0;  // N
  virtual int64_t num_inputs() const = 0;   // K
  virtual size_t size_bytes() const = 0;    // device memory it holds
};

// A table [V, E] of rows to be looked up. On devices that share the host's memory it refers to the
// source bytes, which must outlive it.
class EmbeddingTable {
 public:
  virtual ~EmbeddingTable() = default;
  virtual int64_t num_rows() const = 0;
  virtual int64_t row_values() const = 0;
  virtual size_t size_bytes() const = 0;
};

// Rotary position embedding (Su et al. 2021, RoFormer, eq. 34) over the first `2 *
// inverse_frequencies.size()` values of each head. The angle at a position p is f32(p) ·
// inverse_frequency; cosine and sine are multiplied by `scale` (YaRN's attention factor, else 1).
struct RopeSpec {
  std::vector<float> inverse_frequencies;
  float scale = 1.0f;
  bool interleaved =
      false;  // pairs (2i, 2i+1) as in GGUF's Llama; else (i, i + d/2) as in Hugging Face's
  // Dynamic NTK: a row that is rotated for n > dynamic_context_tokens tokens takes the frequencies
  // of DynamicInverseFrequencies (backend/rope.h) instead. 0: never. n is the row's position + 1,
  // or its sequence's BatchPlan::prompt_tokens if that is more: it does not depend on chunking.
  int64_t dynamic_context_tokens = 0;
  double dynamic_factor = 1.0;
  double dynamic_theta = 0.0;
};

// The keys and values of every sequence: pages of `page_tokens` tokens, each page holding all
// layers of the model that live on this device. The layout inside a page is the backend's own.
struct KvSpec {
  int num_layers = 0;
  int num_kv_heads = 0;  // G
  int head_dim = 0;      // D
  int num_pages = 0;
  // kF32, kF16, kBF16 or kI8, which is integers up to 127 with a scale, the largest magnitude /
  // 127, per token and head. For kBF16 a backend may keep as many bits in integers with a scale per
  // token and head, which are no further off if errors are added up over the head.
  Format format = Format::kBF16;
};

// Tokens in one KV page, on every device: the unit of prefix sharing and of attention's summation
// order.
inline constexpr int kPageTokens = 32;

class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual const KvSpec& spec() const = 0;
  virtual size_t size_bytes() const = 0;
};

// One step of work, as the host plans it: rows (tokens) grouped by sequence.
struct BatchPlan {
  std::vector<int32_t> token_ids;  // [T]
  std::vector<int32_t> positions;  // [T] position of each token in its sequence
  std::vector<int32_t>
      row_begin;  // [S + 1] rows of sequence s are [row_begin[s], row_begin[s + 1])
  std::vector<int32_t>
      page_table;  // [S, page_stride] page of each kPageTokens positions, -1 beyond the end
  int32_t page_stride = 0;
  std::vector<int32_t>
      output_rows;  // [R] rows, ascending, whose hidden state is wanted after the last layer
  std::vector<int32_t> prompt_tokens;  // [S] or empty: tokens of each sequence's whole prompt, for
                                       // dynamic RoPE (see RopeSpec)

  int64_t num_tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t num_sequences() const {
    return row_begin.empty() ? 0 : static_cast<int64_t>(row_begin.size()) - 1;
  }
};

// A plan where the device can read it.
class DeviceBatch {
 public:
  virtual ~DeviceBatch() = default;
};

struct AttentionSpec {
  int num_heads = 0;   // H; H / G query heads share a key/value head, neighbours together
  float scale = 0.0f;  // of the scores before softmax; usually 1/√D
  int window = 0;      // a query sees its last `window` positions, itself among them; 0: all
};

enum class Activation { kSilu, kGeluTanh, kGeluErf };

enum class Pooling { kLastToken, kMean };

// How a row of logits becomes a token: allowed, temperature, top_k, top_p, min_p, in this order.
struct SamplingRow {
  float temperature = 0.0f;  // 0: the largest logit, the lowest id among equals
  int top_k = 0;             // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint64_t seed = 0;
  uint64_t position = 0;  // of the token that is drawn: the draw is RandomUniform(seed, position)
  int num_top_logprobs = -1;  // -1: none asked; 0: only the drawn token's; n: also the n largest
  // Allowed tokens, one bit each, ⌈V/32⌉ words on the host, or null for all. Read before the call
  // returns.
  const uint32_t* allowed = nullptr;
};

struct TokenLogprob {
  int32_t token_id = -1;
  float logprob =
      0.0f;  // natural, of the whole distribution at temperature 1, before any filter but `allowed`
};

struct SampledToken {
  int32_t token_id = -1;
  float logprob = 0.0f;                    // set if num_top_logprobs >= 0
  std::vector<TokenLogprob> top_logprobs;  // descending, ties by lower id
};

struct DeviceMemory {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
};

struct DeviceInfo {
  std::string name;   // "cpu", "ref", "cuda:0"
  std::string model;  // the processor's own name
  // Which code paths run, e.g. "avx512-vnni-amx". Results repeat bit for bit only on the same
  // level.
  std::string dispatch_level;
  int num_threads = 1;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceInfo& info() const = 0;
  virtual DeviceMemory memory() const = 0;

  // --- memory ---
  // Uninitialised memory, aligned for any kernel. Throws Error{kExhausted} with the bytes asked and
  // free.
  virtual std::unique_ptr<Buffer> Allocate(size_t bytes) = 0;
  virtual void Upload(std::span<const float> values, const Matrix& to) = 0;
  // Waits, then copies the view row by row, dense, into `values` (rows · cols of them).
  virtual void Download(const Matrix& from, std::span<float> values) = 0;
  virtual void Synchronize() = 0;

  // --- model state ---
  // Packs `parts` stacked along their outputs ([N0, K], [N1, K], ... → [N0 + N1 + ..., K]); formats
  // may differ. `bias` is empty or one f32/f16/bf16 vector per part (a part without bias has an
  // empty view). Throws Error{kCorrupt} naming the tensor for scales or values that are not finite.
  // A device that was opened to pack late may do so, and throw, in UploadBatch and Linear, and
  // needs the source until then.
  virtual std::unique_ptr<LinearWeight> PackLinear(std::span<const TensorView> parts,
                                                   std::span<const TensorView> bias,
                                                   Compute compute) = 0;
  virtual std::unique_ptr<EmbeddingTable> PackEmbedding(const TensorView& table) = 0;
  virtual std::unique_ptr<KvCache> CreateKvCache(const KvSpec& spec) = 0;
  // Bytes of one page of such a cache.
  virtual size_t KvPageBytes(const KvSpec& spec) const = 0;
  // Copies the first `num_tokens` tokens of a page to another, all layers.
  virtual void CopyKvPage(KvCache& cache, int32_t from_page, int32_t to_page, int num_tokens) = 0;
  // An empty descriptor that can hold plans of at most these sizes.
  virtual std::unique_ptr<DeviceBatch> CreateBatch(int64_t num_tokens_max,
                                                   int64_t num_sequences_max,
                                                   int32_t page_stride_max) = 0;
  virtual void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) = 0;

  // --- operations ---
  // out[t] = scale · table[token_ids[t]].  out [T, E].
  virtual void Embed(const EmbeddingTable& table, const DeviceBatch& batch, float scale,
                     const Matrix& out) = 0;

  // out = x / √(mean(x²) + epsilon) · weight, row by row, the mean in f32 or better.
  // x, out [T, E] (may be the same); weight [1, E]. Zhang and Sennrich 2019, eq. 4.
  virtual void RmsNorm(const Matrix& x, const Matrix& weight, float epsilon, const Matrix& out) = 0;

  // out = x Wᵀ + b, or out += x Wᵀ + b if `accumulate` (the residual). x [T, K], out [T, N].
  virtual void Linear(const Matrix& x, const LinearWeight& weight, bool accumulate,
                      const Matrix& out) = 0;

  // Rotates the query heads in place and writes rotated keys and values to the cache at each row's
  // position. qkv [T, (H + 2G)·D]: queries, then keys, then values.
  virtual void RopeAndStoreKv(const Matrix& qkv, int num_heads, const RopeSpec& rope,
                              const DeviceBatch& batch, KvCache& cache, int layer) = 0;

  // Causal softmax attention of each row over its own sequence's cache, softmax in f32, keys in
  // ascending blocks of kPageTokens. Over a cache in bf16 queries and weights may be rounded to it,
  // or to integers of as many bits. q [T, H·D] (the rotated part of qkv), out [T, H·D]. Online
  // softmax: Milakov and Gimelshein 2018.
  virtual void Attend(const Matrix& q, const AttentionSpec& attention, const DeviceBatch& batch,
                      const KvCache& cache, int layer, const Matrix& out) = 0;

  // out = activation(gate) · up.  gate_up [T, 2F]: gates, then ups; out [T, F]. Shazeer 2020,
  // eq. 6.
  virtual void GatedActivation(const Matrix& gate_up, Activation activation, const Matrix& out) = 0;

  // The norm of a block's input.
  struct Norm {
    Matrix weight;  // [1, E]
    float epsilon = 0.0f;
  };

  // out = norm(x) Wᵀ + b: an RmsNorm and a Linear, with their bits, where a device can spare the
  // memory between them.  x [T, E], scratch [T, E] whose values are lost, out [T, N].
  virtual void NormedLinear(const Matrix& x, const Norm& norm, const LinearWeight& weight,
                            const Matrix& scratch, const Matrix& out) {
    RmsNorm(x, norm.weight, norm.epsilon, scratch);
    Linear(scratch, weight, /*accumulate=*/false, out);
  }

  struct FeedForwardScratch {
    Matrix normed;   // [T, E]
    Matrix gate_up;  // [T, 2F]
    Matrix gated;    // [T, F]
  };

  // x += (activation(n Gᵀ) · (n Uᵀ)) Dᵀ, n = norm(x), for a weight of G stacked on U: an RmsNorm, a
  // Linear, a GatedActivation and a Linear, with their bits.  x [T, E], gate_up [2F, E], down
  // [E, F]; the scratch's values are lost.
  virtual void FeedForward(const Matrix& x, const Norm& norm, const LinearWeight& gate_up,
                           Activation activation, const LinearWeight& down,
                           const FeedForwardScratch& scratch) {
    RmsNorm(x, norm.weight, norm.epsilon, scratch.normed);
    Linear(scratch.normed, gate_up, /*accumulate=*/false, scratch.gate_up);
    GatedActivation(scratch.gate_up, activation, scratch.gated);
    Linear(scratch.gated, down, /*accumulate=*/true, x);
  }

  // out[r] = x[output_rows[r]].  x [T, E], out [R, E].
  virtual void GatherOutputRows(const Matrix& x, const DeviceBatch& batch, const Matrix& out) = 0;

  // Adds the sum of x's rows [row_begin, row_end) to out [1, E] in ascending order: mean pooling
  // over prompts that arrive in pieces.
  virtual void AccumulateRows(const Matrix& x, int64_t row_begin, int64_t row_end,
                              const Matrix& out) = 0;

  // Draws a token from each row of logits [R, V]. Waits.
  virtual std::vector<SampledToken> Sample(const Matrix& logits,
                                           std::span<const SamplingRow> rows) = 0;

  // Natural log-probabilities of chosen tokens: pairs (row, token) → log
  // softmax(logits[row])[token]. Waits.
  struct LogprobQuery {
    int32_t row = 0;
    int32_t token_id = 0;
  };
  virtual std::vector<float> Logprobs(const Matrix& logits,
                                      std::span<const LogprobQuery> queries) = 0;
};

}  // namespace retort
