#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "retort/backend/device.h"

namespace retort {

// A device that does what another one does: what tests and benchmarks change a single operation of.
// Operations that stand for several others (NormedLinear, ...) come to it as those.
class ForwardingDevice : public Device {
 public:
  explicit ForwardingDevice(std::unique_ptr<Device> device) : device_(std::move(device)) {}

  const DeviceInfo& info() const override { return device_->info(); }
  DeviceMemory memory() const override { return device_->memory(); }
  std::unique_ptr<Buffer> Allocate(size_t bytes) override { return device_->Allocate(bytes); }
  void Upload(std::span<const float> values, const Matrix& to) override {
    device_->Upload(values, to);
  }
  void Download(const Matrix& from, std::span<float> values) override {
    device_->Download(from, values);
  }
  void Synchronize() override { device_->Synchronize(); }
  std::unique_ptr<LinearWeight> PackLinear(std::span<const TensorView> parts,
                                           std::span<const TensorView> bias,
                                           Compute compute) override {
    return device_->PackLinear(parts, bias, compute);
  }
  std::unique_ptr<EmbeddingTable> PackEmbedding(const TensorView& table) override {
    return device_->PackEmbedding(table);
  }
  std::unique_ptr<KvCache> CreateKvCache(const KvSpec& spec) override {
    return device_->CreateKvCache(spec);
  }
  size_t KvPageBytes(const KvSpec& spec) const override { return device_->KvPageBytes(spec); }
  void CopyKvPage(KvCache& cache, int32_t from, int32_t to, int num_tokens) override {
    device_->CopyKvPage(cache, from, to, num_tokens);
  }
  std::unique_ptr<DeviceBatch> CreateBatch(int64_t num_tokens_max, int64_t num_sequences_max,
                                           int32_t page_stride_max) override {
    return device_->CreateBatch(num_tokens_max, num_sequences_max, page_stride_max);
  }
  void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) override {
    device_->UploadBatch(plan, batch);
  }
  void Embed(const EmbeddingTable& table, const DeviceBatch& batch, float scale,
             const Matrix& out) override {
    device_->Embed(table, batch, scale, out);
  }
  void RmsNorm(const Matrix& x, const Matrix& weight, float epsilon, const Matrix& out) override {
    device_->RmsNorm(x, weight, epsilon, out);
  }
  void Linear(const Matrix& x, const LinearWeight& weight, bool accumulate,
              const Matrix& out) override {
    device_->Linear(x, weight, accumulate, out);
  }
  void RopeAndStoreKv(const Matrix& qkv, int num_heads, const RopeSpec& rope,
                      const DeviceBatch& batch, KvCache& cache, int layer) override {
    device_->RopeAndStoreKv(qkv, num_heads, rope, batch, cache, layer);
  }
  void Attend(const Matrix& q, const AttentionSpec& attention, const DeviceBatch& batch,
              const KvCache& cache, int layer, const Matrix& out) override {
    device_->Attend(q, attention, batch, cache, layer, out);
  }
  void GatedActivation(const Matrix& gate_up, Activation activation, const Matrix& out) override {
    device_->GatedActivation(gate_up, activation, out);
  }
  void GatherOutputRows(const Matrix& x, const DeviceBatch& batch, const Matrix& out) override {
    device_->GatherOutputRows(x, batch, out);
  }
  void AccumulateRows(const Matrix& x, int64_t row_begin, int64_t row_end,
                      const Matrix& out) override {
    device_->AccumulateRows(x, row_begin, row_end, out);
  }
  std::vector<SampledToken> Sample(const Matrix& logits,
                                   std::span<const SamplingRow> rows) override {
    return device_->Sample(logits, rows);
  }
  std::vector<float> Logprobs(const Matrix& logits,
                              std::span<const LogprobQuery> queries) override {
    return device_->Logprobs(logits, queries);
  }

 private:
  std::unique_ptr<Device> device_;
};

}  // namespace retort
