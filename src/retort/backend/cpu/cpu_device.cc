#include "retort/backend/cpu/cpu_device.h"

#include <sched.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "retort/backend/cpu/embedding.h"
#include "retort/backend/cpu/linear.h"
#include "retort/backend/cpu/ops.h"
#include "retort/backend/op_checks.h"
#include "retort/base/error.h"

namespace retort {
namespace cpu {
namespace {

// Cores this process may run on (a container or taskset may have narrowed them).
int CountCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

DispatchLevel LevelOf(const CpuDeviceOptions& options) {
  std::optional<DispatchLevel> wanted;
  if (!options.dispatch_level.empty()) wanted = ParseDispatchLevel(options.dispatch_level);
  return ChooseDispatchLevel(wanted);
}

DeviceInfo MakeInfo(int num_threads, DispatchLevel level) {
  DeviceInfo info;
  info.name = "cpu";
  info.model = DetectCpu().model;
  info.dispatch_level = DispatchLevelName(level);
  info.num_threads = num_threads;
  return info;
}

const BatchPlan& PlanOf(const DeviceBatch& batch) {
  return static_cast<const CpuBatch&>(batch).plan;
}

void CheckCopy(const char* op, size_t num_values, const Matrix& matrix) {
  CheckMatrix(op, "matrix", matrix);
  if (num_values != static_cast<size_t>(matrix.rows * matrix.cols)) {
    Throw(ErrorCode::kInternal, "{}: {} values for a matrix [{}, {}]", op, num_values, matrix.rows,
          matrix.cols);
  }
}

// Every operation is done when it returns.
class CpuDevice : public Device {
 public:
  CpuDevice(int num_threads, DispatchLevel level, bool pack_late)
      : info_(MakeInfo(num_threads, level)),
        pool_(num_threads),
        context_{pool_, level},
        pack_late_(pack_late),
        late_(pool_, KernelsFor(level)),
        linear_(pool_, level, late_) {}

  const DeviceInfo& info() const override { return info_; }

  DeviceMemory memory() const override {
    const HostMemory host = UnpromisedMemory();
    return {host.total_bytes, host.free_bytes};
  }

  std::unique_ptr<Buffer> Allocate(size_t bytes) override {
    return std::make_unique<CpuBuffer>(std::make_shared<AlignedBytes>(bytes));
  }

  void Upload(std::span<const float> values, const Matrix& to) override {
    CheckCopy("Upload", values.size(), to);
    if (values.empty()) return;
    const Rows rows = ToRows(to);
    for (int64_t row = 0; row < rows.rows; ++row) {
      std::copy_n(values.data() + row * rows.cols, rows.cols, rows.Row(row));
    }
  }

  void Download(const Matrix& from, std::span<float> values) override {
    CheckCopy("Download", values.size(), from);
    if (values.empty()) return;
    const Rows rows = ToRows(from);
    for (int64_t row = 0; row < rows.rows; ++row) {
      std::copy_n(rows.Row(row), rows.cols, values.data() + row * rows.cols);
    }
  }

  void Synchronize() override {}

  std::unique_ptr<LinearWeight> PackLinear(std::span<const TensorView> parts,
                                           std::span<const TensorView> bias,
                                           Compute compute) override {
    CheckPackLinear(parts, bias);
    const LinearKernels& kernels = KernelsFor(context_.level);
    auto weight = std::make_unique<CpuLinearWeight>(arena_, kernels, parts, bias, compute);
    if (pack_late_) {
      late_.Add(weight.get());
    } else {
      weight->Pack(pool_, kernels);
    }
    linear_.Reserve(weight->num_inputs());
    return weight;
  }

  std::unique_ptr<EmbeddingTable> PackEmbedding(const TensorView& table) override {
    CheckPackEmbedding(table);
    return std::make_unique<CpuEmbeddingTable>(pool_, table);
  }

  std::unique_ptr<KvCache> CreateKvCache(const KvSpec& spec) override {
    CheckKvSpec(spec);
    return std::make_unique<CpuKvCache>(spec, KernelsOf(context_.level));
  }

  size_t KvPageBytes(const KvSpec& spec) const override {
    CheckKvSpec(spec);
    return CpuKvCache::PageBytes(spec, KernelsOf(context_.level));
  }

  void CopyKvPage(KvCache& cache, int32_t from_page, int32_t to_page, int num_tokens) override {
    CheckCopyKvPage(cache.spec(), from_page, to_page, num_tokens);
    static_cast<CpuKvCache&>(cache).CopyPage(from_page, to_page);
  }

  std::unique_ptr<DeviceBatch> CreateBatch(int64_t num_tokens_max, int64_t num_sequences_max,
                                           int32_t page_stride_max) override {
    auto batch = std::make_unique<CpuBatch>();
    batch->num_tokens_max = num_tokens_max;
    batch->num_sequences_max = num_sequences_max;
    batch->page_stride_max = page_stride_max;
    return batch;
  }

  void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) override {
    auto& to = static_cast<CpuBatch&>(batch);
    CheckPlan(plan, to.num_tokens_max, to.num_sequences_max, to.page_stride_max);
    to.plan = plan;
    to.sequence_of.resize(static_cast<size_t>(plan.num_tokens()));
    for (int64_t s = 0; s < plan.num_sequences(); ++s) {
      std::fill(to.sequence_of.begin() + plan.row_begin[s],
                to.sequence_of.begin() + plan.row_begin[s + 1], static_cast<int32_t>(s));
    }
    to.rope_tables.Clear();
    if (has_stepped_) late_.PackSome();
    has_stepped_ = true;
  }

  void Embed(const EmbeddingTable& table, const DeviceBatch& batch, float scale,
             const Matrix& out) override {
    CheckEmbed(table, PlanOf(batch), out);
    if (out.rows == 0) return;
    static_cast<const CpuEmbeddingTable&>(table).Embed(context_, PlanOf(batch).token_ids, scale,
                                                       ToRows(out));
  }

  void RmsNorm(const Matrix& x, const Matrix& weight, float epsilon, const Matrix& out) override {
    CheckRmsNorm(x, weight, out);
    if (x.rows == 0) return;
    cpu::RmsNorm(context_, ToRows(x), ToRows(weight).data, epsilon, ToRows(out));
  }

  void Linear(const Matrix& x, const LinearWeight& weight, bool accumulate,
              const Matrix& out) override {
    CheckLinear(x, weight, out);
    if (x.rows == 0) return;
    linear_.Run(ToRows(x), static_cast<const CpuLinearWeight&>(weight), accumulate, ToRows(out));
  }

  void RopeAndStoreKv(const Matrix& qkv, int num_heads, const RopeSpec& rope,
                      const DeviceBatch& batch, KvCache& cache, int layer) override {
    CheckRope(qkv, num_heads, rope, PlanOf(batch), cache.spec(), layer);
    if (qkv.rows == 0) return;
    cpu::RopeAndStoreKv(context_, ToRows(qkv), num_heads, rope, static_cast<const CpuBatch&>(batch),
                        static_cast<const CpuKvCache&>(cache), layer);
  }

  void Attend(const Matrix& q, const AttentionSpec& attention, const DeviceBatch& batch,
              const KvCache& cache, int layer, const Matrix& out) override {
    CheckAttend(q, attention, PlanOf(batch), cache.spec(), layer, out);
    if (q.rows == 0) return;
    cpu::Attend(context_, ToRows(q), attention, PlanOf(batch),
                static_cast<const CpuKvCache&>(cache), layer, ToRows(out));
  }

  void GatedActivation(const Matrix& gate_up, Activation activation, const Matrix& out) override {
    CheckGatedActivation(gate_up, out);
    if (out.rows == 0) return;
    cpu::GatedActivation(context_, ToRows(gate_up), activation, ToRows(out));
  }

  void NormedLinear(const Matrix& x, const Norm& norm, const LinearWeight& weight,
                    const Matrix& scratch, const Matrix& out) override {
    CheckRmsNorm(x, norm.weight, scratch);
    CheckLinear(scratch, weight, out);
    if (x.rows == 0) return;
    const RowNorm row_norm{ToRows(norm.weight).data, norm.epsilon, ToRows(scratch)};
    linear_.RunNormed(ToRows(x), row_norm, static_cast<const CpuLinearWeight&>(weight),
                      ToRows(out));
  }

  void FeedForward(const Matrix& x, const Norm& norm, const LinearWeight& gate_up,
                   Activation activation, const LinearWeight& down,
                   const FeedForwardScratch& scratch) override {
    CheckRmsNorm(x, norm.weight, scratch.normed);
    CheckLinear(scratch.normed, gate_up, scratch.gate_up);
    CheckGatedActivation(scratch.gate_up, scratch.gated);
    CheckLinear(scratch.gated, down, x);
    if (x.rows == 0) return;
    const auto& gate_up_weight = static_cast<const CpuLinearWeight&>(gate_up);
    const RowNorm row_norm{ToRows(norm.weight).data, norm.epsilon, ToRows(scratch.normed)};
    if (linear_.RunFeedForward(ToRows(x), row_norm, gate_up_weight, activation,
                               static_cast<const CpuLinearWeight&>(down))) {
      return;
    }
    if (!linear_.RunGated(ToRows(x), row_norm, gate_up_weight, activation, ToRows(scratch.gated))) {
      NormedLinear(x, norm, gate_up, scratch.normed, scratch.gate_up);
      GatedActivation(scratch.gate_up, activation, scratch.gated);
    }
    Linear(scratch.gated, down, /*accumulate=*/true, x);
  }

  void GatherOutputRows(const Matrix& x, const DeviceBatch& batch, const Matrix& out) override {
    CheckGatherOutputRows(x, PlanOf(batch), out);
    if (out.rows == 0) return;
    const Rows from = ToRows(x);
    const Rows to = ToRows(out);
    for (int64_t row = 0; row < to.rows; ++row) {
      std::copy_n(from.Row(PlanOf(batch).output_rows[row]), from.cols, to.Row(row));
    }
  }

  void AccumulateRows(const Matrix& x, int64_t row_begin, int64_t row_end,
                      const Matrix& out) override {
    CheckAccumulateRows(x, row_begin, row_end, out);
    if (row_begin == row_end) return;
    cpu::AccumulateRows(context_, ToRows(x), row_begin, row_end, ToRows(out).data);
  }

  std::vector<SampledToken> Sample(const Matrix& logits,
                                   std::span<const SamplingRow> rows) override {
    CheckSample(logits, rows);
    if (rows.empty()) return {};
    return cpu::Sample(context_, ToRows(logits), rows);
  }

  std::vector<float> Logprobs(const Matrix& logits,
                              std::span<const LogprobQuery> queries) override {
    CheckLogprobs(logits, queries);
    if (queries.empty()) return {};
    return cpu::Logprobs(context_, ToRows(logits), queries);
  }

 private:
  DeviceInfo info_;
  ThreadPool pool_;
  Context context_;
  bool pack_late_;
  bool has_stepped_ = false;
  WeightArena arena_;
  LateWeights late_;
  LinearRunner linear_;
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Device> OpenCpuDevice(const CpuDeviceOptions& options) {
  const int num_threads = options.num_threads == 0 ? cpu::CountCores() : options.num_threads;
  return std::make_unique<cpu::CpuDevice>(num_threads, cpu::LevelOf(options), options.pack_late);
}

std::vector<CpuDispatchLevel> CpuDispatchLevels() {
  std::vector<CpuDispatchLevel> levels;
  for (int i = 0; i <= static_cast<int>(cpu::DispatchLevel::kAmx); ++i) {
    const auto level = static_cast<cpu::DispatchLevel>(i);
    levels.push_back({cpu::DispatchLevelName(level), level <= cpu::DetectCpu().level_max});
  }
  return levels;
}

}  // namespace retort
