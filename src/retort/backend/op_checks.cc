#include "retort/backend/op_checks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "retort/base/error.h"

namespace retort {
namespace {

void CheckShape(const char* op, const char* what, const Matrix& matrix, int64_t rows,
                int64_t cols) {
  CheckMatrix(op, what, matrix);
  if (matrix.rows != rows || matrix.cols != cols) {
    Throw(ErrorCode::kInternal, "{}: {} has shape [{}, {}], expected [{}, {}]", op, what,
          matrix.rows, matrix.cols, rows, cols);
  }
}

void CheckLayer(const char* op, const KvSpec& spec, int layer) {
  if (layer < 0 || layer >= spec.num_layers) {
    Throw(ErrorCode::kInternal, "{}: layer {} of a cache of {} layers", op, layer, spec.num_layers);
  }
}

// Every page a row reads or writes lies in the cache.
void CheckPages(const char* op, const BatchPlan& plan, const KvSpec& spec) {
  for (int64_t s = 0; s < plan.num_sequences(); ++s) {
    int32_t position_max = -1;
    for (int32_t row = plan.row_begin[s]; row < plan.row_begin[s + 1]; ++row) {
      position_max = std::max(position_max, plan.positions[row]);
    }
    for (int32_t i = 0; position_max >= 0 && i <= position_max / kPageTokens; ++i) {
      const int32_t page = plan.page_table[s * plan.page_stride + i];
      if (page >= spec.num_pages) {
        Throw(ErrorCode::kInternal, "{}: sequence {} names page {} of a cache of {} pages", op, s,
              page, spec.num_pages);
      }
    }
  }
}

void CheckSequence(const BatchPlan& plan, int64_t s) {
  for (int32_t row = plan.row_begin[s]; row < plan.row_begin[s + 1]; ++row) {
    const int32_t position = plan.positions[row];
    if (position < 0 || position / kPageTokens >= plan.page_stride) {
      Throw(ErrorCode::kInternal, "plan: row {} has position {}, its page table holds {} positions",
            row, position, int64_t{plan.page_stride} * kPageTokens);
    }
    for (int32_t i = 0; i <= position / kPageTokens; ++i) {
      if (plan.page_table[s * plan.page_stride + i] < 0) {
        Throw(ErrorCode::kInternal,
              "plan: sequence {} has no page for positions from {}, row {} "
              "is at {}",
              s, i * kPageTokens, row, position);
      }
    }
  }
}

}  // namespace

void CheckMatrix(const char* op, const char* what, const Matrix& matrix) {
  if (matrix.rows < 0 || matrix.cols < 0 || (matrix.rows > 1 && matrix.stride < matrix.cols)) {
    Throw(ErrorCode::kInternal, "{}: {} is no matrix: [{}, {}] with stride {}", op, what,
          matrix.rows, matrix.cols, matrix.stride);
  }
  if (matrix.rows == 0 || matrix.cols == 0) return;
  if (matrix.buffer == nullptr) Throw(ErrorCode::kInternal, "{}: {} has no buffer", op, what);
  const size_t end =
      matrix.offset + static_cast<size_t>((matrix.rows - 1) * matrix.stride + matrix.cols);
  if (end > matrix.buffer->size_bytes() / sizeof(float)) {
    Throw(ErrorCode::kInternal, "{}: {} ends at value {} of a buffer of {}", op, what, end,
          matrix.buffer->size_bytes() / sizeof(float));
  }
}

void CheckPlan(const BatchPlan& plan, int64_t num_tokens_max, int64_t num_sequences_max,
               int32_t page_stride_max) {
  const int64_t tokens = plan.num_tokens();
  const int64_t sequences = plan.num_sequences();
  if (tokens > num_tokens_max || sequences > num_sequences_max ||
      plan.page_stride > page_stride_max) {
    Throw(ErrorCode::kInternal,
          "plan: {} tokens, {} sequences, page stride {}; made for at most {}, {}, {}", tokens,
          sequences, plan.page_stride, num_tokens_max, num_sequences_max, page_stride_max);
  }
  if (std::ssize(plan.positions) != tokens ||
      std::ssize(plan.page_table) != sequences * plan.page_stride) {
    Throw(ErrorCode::kInternal,
          "plan: {} tokens but {} positions, {} sequences of stride {} but {} page entries", tokens,
          plan.positions.size(), sequences, plan.page_stride, plan.page_table.size());
  }
  if (!plan.prompt_tokens.empty() && std::ssize(plan.prompt_tokens) != sequences) {
    Throw(ErrorCode::kInternal, "plan: {} prompt lengths for {} sequences",
          plan.prompt_tokens.size(), sequences);
  }
  if (sequences > 0 && (plan.row_begin.front() != 0 || plan.row_begin.back() != tokens)) {
    Throw(ErrorCode::kInternal, "plan: sequences cover rows [{}, {}) of {}", plan.row_begin.front(),
          plan.row_begin.back(), tokens);
  }
  if (sequences == 0 && tokens > 0) {
    Throw(ErrorCode::kInternal, "plan: {} tokens in no sequence", tokens);
  }
  for (int64_t s = 0; s < sequences; ++s) {
    if (plan.row_begin[s + 1] < plan.row_begin[s]) {
      Throw(ErrorCode::kInternal, "plan: sequence {} has rows [{}, {})", s, plan.row_begin[s],
            plan.row_begin[s + 1]);
    }
  }
  for (int64_t s = 0; s < sequences; ++s) CheckSequence(plan, s);
  int32_t previous = -1;
  for (const int32_t row : plan.output_rows) {
    if (row <= previous || row >= tokens) {
      Throw(ErrorCode::kInternal, "plan: output row {} after {}, of {} rows", row, previous,
            tokens);
    }
    previous = row;
  }
}

void CheckPackLinear(std::span<const TensorView> parts, std::span<const TensorView> bias) {
  if (parts.empty()) Throw(ErrorCode::kInternal, "PackLinear: no parts");
  for (const TensorView& part : parts) {
    if (part.shape.rank() != 2 || part.shape[0] < 1 || part.shape[1] < 1 ||
        part.shape[1] != parts[0].shape[1]) {
      Throw(ErrorCode::kInternal, "PackLinear: tensor '{}' has shape {}, expected [N, {}]",
            part.name, part.shape.ToString(), parts[0].shape.RowValues());
    }
  }
  if (bias.empty()) return;
  if (bias.size() != parts.size()) {
    Throw(ErrorCode::kInternal, "PackLinear: {} biases for {} parts", bias.size(), parts.size());
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    if (bias[i].bytes.empty()) continue;
    if (bias[i].format != Format::kF32 && bias[i].format != Format::kF16 &&
        bias[i].format != Format::kBF16) {
      Throw(ErrorCode::kUnsupported, "bias '{}' is stored as {}; expected f32, f16 or bf16",
            bias[i].name, bias[i].source_type);
    }
    if (bias[i].shape.rank() != 1 || bias[i].shape[0] != parts[i].shape[0]) {
      Throw(ErrorCode::kInternal, "PackLinear: bias '{}' has shape {}, expected [{}]", bias[i].name,
            bias[i].shape.ToString(), parts[i].shape[0]);
    }
  }
}

void CheckPackEmbedding(const TensorView& table) {
  if (table.shape.rank() != 2 || table.shape[0] < 1 || table.shape[1] < 1) {
    Throw(ErrorCode::kInternal, "PackEmbedding: tensor '{}' has shape {}, expected [V, E]",
          table.name, table.shape.ToString());
  }
}

void CheckKvSpec(const KvSpec& spec) {
  if (spec.num_layers < 1 || spec.num_kv_heads < 1 || spec.head_dim < 1 || spec.num_pages < 1) {
    Throw(ErrorCode::kInternal, "KV cache: {} layers, {} heads, head dim {}, {} pages",
          spec.num_layers, spec.num_kv_heads, spec.head_dim, spec.num_pages);
  }
  if (spec.format != Format::kF32 && spec.format != Format::kF16 && spec.format != Format::kBF16 &&
      spec.format != Format::kI8) {
    Throw(ErrorCode::kUnsupported, "KV cache in format {}: expected f32, f16, bf16 or i8",
          Info(spec.format).name);
  }
}

void CheckCopyKvPage(const KvSpec& spec, int32_t from_page, int32_t to_page, int num_tokens) {
  if (from_page < 0 || from_page >= spec.num_pages || to_page < 0 || to_page >= spec.num_pages ||
      from_page == to_page || num_tokens < 0 || num_tokens > kPageTokens) {
    Throw(ErrorCode::kInternal, "CopyKvPage: {} tokens of page {} to page {}, of {} pages",
          num_tokens, from_page, to_page, spec.num_pages);
  }
}

void CheckEmbed(const EmbeddingTable& table, const BatchPlan& plan, const Matrix& out) {
  CheckShape("Embed", "out", out, plan.num_tokens(), table.row_values());
  for (int64_t row = 0; row < plan.num_tokens(); ++row) {
    if (plan.token_ids[row] < 0 || plan.token_ids[row] >= table.num_rows()) {
      Throw(ErrorCode::kInternal, "Embed: row {} has token {}, the table has {} rows", row,
            plan.token_ids[row], table.num_rows());
    }
  }
}

void CheckRmsNorm(const Matrix& x, const Matrix& weight, const Matrix& out) {
  CheckMatrix("RmsNorm", "x", x);
  CheckShape("RmsNorm", "weight", weight, 1, x.cols);
  CheckShape("RmsNorm", "out", out, x.rows, x.cols);
}

void CheckLinear(const Matrix& x, const LinearWeight& weight, const Matrix& out) {
  CheckShape("Linear", "x", x, x.rows, weight.num_inputs());
  CheckShape("Linear", "out", out, x.rows, weight.num_outputs());
}

void CheckRope(const Matrix& qkv, int num_heads, const RopeSpec& rope, const BatchPlan& plan,
               const KvSpec& spec, int layer) {
  CheckLayer("RopeAndStoreKv", spec, layer);
  CheckShape("RopeAndStoreKv", "qkv", qkv, plan.num_tokens(),
             (int64_t{num_heads} + 2 * spec.num_kv_heads) * spec.head_dim);
  if (2 * std::ssize(rope.inverse_frequencies) > spec.head_dim) {
    Throw(ErrorCode::kInternal, "RopeAndStoreKv: {} frequencies for head dim {}",
          rope.inverse_frequencies.size(), spec.head_dim);
  }
  CheckPages("RopeAndStoreKv", plan, spec);
}

void CheckAttend(const Matrix& q, const AttentionSpec& attention, const BatchPlan& plan,
                 const KvSpec& spec, int layer, const Matrix& out) {
  CheckLayer("Attend", spec, layer);
  if (attention.num_heads < 1 || attention.num_heads % spec.num_kv_heads != 0 ||
      attention.window < 0) {
    Throw(ErrorCode::kInternal, "Attend: {} query heads over {} key/value heads, window {}",
          attention.num_heads, spec.num_kv_heads, attention.window);
  }
  const int64_t cols = int64_t{attention.num_heads} * spec.head_dim;
  CheckShape("Attend", "q", q, plan.num_tokens(), cols);
  CheckShape("Attend", "out", out, plan.num_tokens(), cols);
  CheckPages("Attend", plan, spec);
}

void CheckGatedActivation(const Matrix& gate_up, const Matrix& out) {
  CheckMatrix("GatedActivation", "out", out);
  CheckShape("GatedActivation", "gate_up", gate_up, out.rows, 2 * out.cols);
}

void CheckGatherOutputRows(const Matrix& x, const BatchPlan& plan, const Matrix& out) {
  CheckShape("GatherOutputRows", "x", x, plan.num_tokens(), x.cols);
  CheckShape("GatherOutputRows", "out", out, std::ssize(plan.output_rows), x.cols);
}

void CheckAccumulateRows(const Matrix& x, int64_t row_begin, int64_t row_end, const Matrix& out) {
  CheckMatrix("AccumulateRows", "x", x);
  CheckShape("AccumulateRows", "out", out, 1, x.cols);
  if (row_begin < 0 || row_end < row_begin || row_end > x.rows) {
    Throw(ErrorCode::kInternal, "AccumulateRows: rows [{}, {}) of {}", row_begin, row_end, x.rows);
  }
}

void CheckSample(const Matrix& logits, std::span<const SamplingRow> rows) {
  CheckShape("Sample", "logits", logits, std::ssize(rows), logits.cols);
  if (logits.cols < 1 || logits.cols > std::numeric_limits<int32_t>::max()) {
    Throw(ErrorCode::kInternal, "Sample: {} logits in a row", logits.cols);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const SamplingRow& row = rows[i];
    // Written so that a NaN fails.
    if (!(row.temperature >= 0.0f && std::isfinite(row.temperature)) || row.top_k < 0 ||
        !(row.top_p > 0.0f && row.top_p <= 1.0f) || !(row.min_p >= 0.0f && row.min_p <= 1.0f)) {
      Throw(ErrorCode::kInternal, "Sample: row {} has temperature {}, top_k {}, top_p {}, min_p {}",
            i, row.temperature, row.top_k, row.top_p, row.min_p);
    }
  }
}

void CheckLogprobs(const Matrix& logits, std::span<const Device::LogprobQuery> queries) {
  CheckMatrix("Logprobs", "logits", logits);
  for (const Device::LogprobQuery& query : queries) {
    if (query.row < 0 || query.row >= logits.rows || query.token_id < 0 ||
        query.token_id >= logits.cols) {
      Throw(ErrorCode::kInternal, "Logprobs: row {}, token {} of logits [{}, {}]", query.row,
            query.token_id, logits.rows, logits.cols);
    }
  }
}

}  // namespace retort
