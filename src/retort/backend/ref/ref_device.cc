#include "retort/backend/ref/ref_device.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "retort/backend/op_checks.h"
#include "retort/backend/ref/ref_memory.h"
#include "retort/base/error.h"
#include "retort/base/host_memory.h"

namespace retort {
namespace ref {
namespace {

const BatchPlan& PlanOf(const DeviceBatch& batch) {
  return static_cast<const RefBatch&>(batch).plan;
}

double Activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGeluTanh:
      // ½(1 + tanh u) = 1 / (1 + e^−2u), which keeps its digits where tanh u is near −1.
      return x / (1.0 +
                  std::exp(-2.0 * std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      // ½(1 + erf z) = ½ erfc(−z), likewise.
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
  }
  Throw(ErrorCode::kInternal, "GatedActivation: activation {}", static_cast<int>(activation));
}

class RefDevice : public Device {
 public:
  RefDevice() : info_{"ref", "double-precision reference", "scalar", 1} {}

  const DeviceInfo& info() const override { return info_; }

  DeviceMemory memory() const override {
    const HostMemory host = ReadHostMemory();
    return {host.total_bytes, host.free_bytes};
  }

  std::unique_ptr<Buffer> Allocate(size_t bytes) override {
    CheckFits(bytes);
    auto buffer = std::make_unique<RefBuffer>();
    buffer->values.assign((bytes + sizeof(float) - 1) / sizeof(float),
                          std::numeric_limits<float>::quiet_NaN());
    return buffer;
  }

  void Upload(std::span<const float> values, const Matrix& to) override {
    CheckCopy("Upload", values.size(), to);
    for (int64_t row = 0; row < to.rows; ++row) {
      std::copy_n(values.data() + row * to.cols, to.cols, RowData(to, row));
    }
  }

  void Download(const Matrix& from, std::span<float> values) override {
    CheckCopy("Download", values.size(), from);
    for (int64_t row = 0; row < from.rows; ++row) {
      std::copy_n(RowData(from, row), from.cols, values.data() + row * from.cols);
    }
  }

  void Synchronize() override {}

  std::unique_ptr<LinearWeight> PackLinear(std::span<const TensorView> parts,
                                           std::span<const TensorView> bias, Compute) override {
    CheckPackLinear(parts, bias);
    auto weight = std::make_unique<RefLinear>();
    weight->inputs = parts[0].shape[1];
    for (const TensorView& part : parts) weight->outputs += part.shape[0];
    const size_t num_values =
        static_cast<size_t>(weight->outputs) * static_cast<size_t>(weight->inputs);
    CheckFits(num_values * sizeof(float));
    weight->values.resize(num_values);
    weight->bias.assign(static_cast<size_t>(weight->outputs), 0.0f);
    int64_t output = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const int64_t rows = parts[i].shape[0];
      DecodeFinite(parts[i], rows, weight->values.data() + output * weight->inputs);
      if (!bias.empty() && !bias[i].bytes.empty()) {
        DecodeFinite(bias[i], 1, weight->bias.data() + output);
      }
      output += rows;
    }
    return weight;
  }

  std::unique_ptr<EmbeddingTable> PackEmbedding(const TensorView& table) override {
    CheckPackEmbedding(table);
    CheckFinite(table);
    std::vector<float> row(static_cast<size_t>(table.shape[1]));
    DecodeRows(table, 0, 1, row.data());  // refuses a format without decoder now, not later
    auto embedding = std::make_unique<RefEmbedding>();
    embedding->table = table;
    return embedding;
  }

  std::unique_ptr<KvCache> CreateKvCache(const KvSpec& spec) override {
    CheckKvSpec(spec);
    CheckFits(RefKvCache::PageBytes(spec) * static_cast<size_t>(spec.num_pages));
    return std::make_unique<RefKvCache>(spec);
  }

  size_t KvPageBytes(const KvSpec& spec) const override {
    CheckKvSpec(spec);
    return RefKvCache::PageBytes(spec);
  }

  void CopyKvPage(KvCache& cache, int32_t from_page, int32_t to_page, int num_tokens) override {
    CheckCopyKvPage(cache.spec(), from_page, to_page, num_tokens);
    static_cast<RefKvCache&>(cache).CopyPage(from_page, to_page, num_tokens);
  }

  std::unique_ptr<DeviceBatch> CreateBatch(int64_t num_tokens_max, int64_t num_sequences_max,
                                           int32_t page_stride_max) override {
    auto batch = std::make_unique<RefBatch>();
    batch->num_tokens_max = num_tokens_max;
    batch->num_sequences_max = num_sequences_max;
    batch->page_stride_max = page_stride_max;
    return batch;
  }

  void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) override {
    auto& to = static_cast<RefBatch&>(batch);
    CheckPlan(plan, to.num_tokens_max, to.num_sequences_max, to.page_stride_max);
    to.plan = plan;
  }

  void Embed(const EmbeddingTable& table, const DeviceBatch& batch, float scale,
             const Matrix& out) override {
    CheckEmbed(table, PlanOf(batch), out);
    const TensorView& rows = static_cast<const RefEmbedding&>(table).table;
    for (int64_t t = 0; t < out.rows; ++t) {
      const int32_t token = PlanOf(batch).token_ids[t];
      DecodeRows(rows, token, token + 1, RowData(out, t));
      for (int64_t i = 0; i < out.cols; ++i) RowData(out, t)[i] *= scale;
    }
  }

  void RmsNorm(const Matrix& x, const Matrix& weight, float epsilon, const Matrix& out) override {
    CheckRmsNorm(x, weight, out);
    const float* w = RowData(weight, 0);
    for (int64_t t = 0; t < x.rows; ++t) {
      const float* from = RowData(x, t);
      double sum = 0;
      for (int64_t i = 0; i < x.cols; ++i) sum += double{from[i]} * double{from[i]};
      const double root = std::sqrt(sum / static_cast<double>(x.cols) + double{epsilon});
      for (int64_t i = 0; i < x.cols; ++i) {
        RowData(out, t)[i] = static_cast<float>(double{from[i]} / root * double{w[i]});
      }
    }
  }

  void Linear(const Matrix& x, const LinearWeight& weight, bool accumulate,
              const Matrix& out) override {
    CheckLinear(x, weight, out);
    const auto& linear = static_cast<const RefLinear&>(weight);
    for (int64_t t = 0; t < x.rows; ++t) {
      const float* from = RowData(x, t);
      float* to = RowData(out, t);
      for (int64_t n = 0; n < linear.outputs; ++n) {
        const float* w = linear.values.data() + n * linear.inputs;
        double sum = accumulate ? double{to[n]} : 0.0;
        sum += double{linear.bias[n]};
        for (int64_t k = 0; k < linear.inputs; ++k) sum += double{from[k]} * double{w[k]};
        to[n] = static_cast<float>(sum);
      }
    }
  }

  void RopeAndStoreKv(const Matrix& qkv, int num_heads, const RopeSpec& rope,
                      const DeviceBatch& batch, KvCache& cache, int layer) override {
    CheckRope(qkv, num_heads, rope, PlanOf(batch), cache.spec(), layer);
    ref::RopeAndStoreKv(qkv, num_heads, rope, PlanOf(batch), static_cast<RefKvCache&>(cache),
                        layer);
  }

  void Attend(const Matrix& q, const AttentionSpec& attention, const DeviceBatch& batch,
              const KvCache& cache, int layer, const Matrix& out) override {
    CheckAttend(q, attention, PlanOf(batch), cache.spec(), layer, out);
    ref::Attend(q, attention, PlanOf(batch), static_cast<const RefKvCache&>(cache), layer, out);
  }

  void GatedActivation(const Matrix& gate_up, Activation activation, const Matrix& out) override {
    CheckGatedActivation(gate_up, out);
    for (int64_t t = 0; t < out.rows; ++t) {
      const float* gate = RowData(gate_up, t);
      const float* up = gate + out.cols;
      for (int64_t i = 0; i < out.cols; ++i) {
        RowData(out, t)[i] =
            static_cast<float>(Activate(activation, double{gate[i]}) * double{up[i]});
      }
    }
  }

  void GatherOutputRows(const Matrix& x, const DeviceBatch& batch, const Matrix& out) override {
    CheckGatherOutputRows(x, PlanOf(batch), out);
    for (int64_t r = 0; r < out.rows; ++r) {
      std::copy_n(RowData(x, PlanOf(batch).output_rows[r]), x.cols, RowData(out, r));
    }
  }

  void AccumulateRows(const Matrix& x, int64_t row_begin, int64_t row_end,
                      const Matrix& out) override {
    CheckAccumulateRows(x, row_begin, row_end, out);
    // One f32 addition per row: a double sum would depend on where a prompt was cut.
    for (int64_t t = row_begin; t < row_end; ++t) {
      for (int64_t i = 0; i < x.cols; ++i) RowData(out, 0)[i] += RowData(x, t)[i];
    }
  }

  std::vector<SampledToken> Sample(const Matrix& logits,
                                   std::span<const SamplingRow> rows) override {
    CheckSample(logits, rows);
    std::vector<SampledToken> sampled;
    for (int64_t r = 0; r < logits.rows; ++r) {
      sampled.push_back(
          SampleRow(RowData(logits, r), static_cast<int32_t>(logits.cols), rows[r], r));
    }
    return sampled;
  }

  std::vector<float> Logprobs(const Matrix& logits,
                              std::span<const LogprobQuery> queries) override {
    CheckLogprobs(logits, queries);
    std::vector<double> log_sums(static_cast<size_t>(logits.rows), -INFINITY);
    std::vector<float> logprobs;
    for (const LogprobQuery& query : queries) {
      double& log_sum = log_sums[query.row];
      const float* row = RowData(logits, query.row);
      if (log_sum == -INFINITY) {
        log_sum = LogSumExp(row, static_cast<int32_t>(logits.cols), nullptr, query.row);
      }
      logprobs.push_back(static_cast<float>(double{row[query.token_id]} - log_sum));
    }
    return logprobs;
  }

 private:
  void CheckFits(size_t bytes) const {
    const uint64_t free_bytes = memory().free_bytes;
    if (bytes > free_bytes) {
      Throw(ErrorCode::kExhausted, "ref: {} bytes asked, {} free", bytes, free_bytes);
    }
  }

  static void CheckCopy(const char* op, size_t num_values, const Matrix& matrix) {
    CheckMatrix(op, "matrix", matrix);
    if (num_values != static_cast<size_t>(matrix.rows * matrix.cols)) {
      Throw(ErrorCode::kInternal, "{}: {} values for a matrix [{}, {}]", op, num_values,
            matrix.rows, matrix.cols);
    }
  }

  static void DecodeFinite(const TensorView& tensor, int64_t rows, float* out) {
    CheckFinite(tensor);
    DecodeRows(tensor, 0, rows, out);
    const int64_t num_values = tensor.shape.NumValues();
    for (int64_t i = 0; i < num_values; ++i) {
      if (!std::isfinite(out[i])) {
        Throw(ErrorCode::kCorrupt, "tensor '{}': value {} is {}", tensor.name, i, out[i]);
      }
    }
  }

  DeviceInfo info_;
};

}  // namespace
}  // namespace ref

std::unique_ptr<Device> OpenRefDevice() { return std::make_unique<ref::RefDevice>(); }

}  // namespace retort
