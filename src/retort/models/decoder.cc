#include "retort/models/decoder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "retort/base/error.h"
#include "retort/checkpoint/checkpoint.h"
#include "retort/models/architectures.h"

namespace retort {
namespace {

// Rows of activations start on a cache line.
constexpr int64_t kRowValues = 16;

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Hands out matrices of one buffer, which may not exist yet.
class Layout {
 public:
  Matrix Add(int64_t rows, int64_t cols) {
    Matrix matrix{nullptr, static_cast<size_t>(values_), rows, cols, RoundUp(cols, kRowValues)};
    values_ += rows * matrix.stride;
    values_max_ = std::max(values_max_, values_);
    return matrix;
  }
  // Where the next matrix will start, and going back there to use the place twice.
  int64_t Mark() const { return values_; }
  void ReturnTo(int64_t mark) { values_ = mark; }
  void SkipToMax() { values_ = values_max_; }
  size_t size_bytes() const { return static_cast<size_t>(values_max_) * sizeof(float); }

 private:
  int64_t values_ = 0;
  int64_t values_max_ = 0;
};

struct WorkspaceLayout {
  Matrix residual, normed, hidden, qkv, attention, gate_up, ffn, logits;
  size_t size_bytes = 0;
};

WorkspaceLayout PlanWorkspace(const DecoderSpec& spec, int64_t num_tokens, int64_t num_logits) {
  Layout layout;
  WorkspaceLayout plan;
  plan.residual = layout.Add(num_tokens, spec.model_dim);
  plan.normed = layout.Add(num_tokens, spec.model_dim);
  plan.hidden = layout.Add(num_tokens, spec.model_dim);
  const int64_t mark = layout.Mark();
  plan.qkv = layout.Add(num_tokens, spec.query_dim() + 2 * spec.kv_dim());
  plan.attention = layout.Add(num_tokens, spec.query_dim());
  layout.ReturnTo(mark);
  plan.gate_up = layout.Add(num_tokens, 2 * spec.ffn_dim);
  plan.ffn = layout.Add(num_tokens, spec.ffn_dim);
  layout.SkipToMax();
  plan.logits = layout.Add(num_logits, spec.vocab_size);
  plan.size_bytes = layout.size_bytes();
  return plan;
}

// Bytes of every tensor the map holds, the embedding twice if it is the head as well.
size_t BytesToLoad(const TensorMap& tensors, const DecoderSpec& spec) {
  size_t bytes = 0;
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    for (int slot = 0; slot < kNumTensorSlots; ++slot) {
      const TensorView* tensor = tensors.Get(static_cast<TensorSlot>(slot), layer);
      if (tensor != nullptr) bytes += tensor->bytes.size();
    }
  }
  if (spec.tied_embeddings) bytes += tensors.Get(TensorSlot::kEmbedding)->bytes.size();
  return bytes;
}

size_t LayerBytes(const TensorMap& tensors, int layer) {
  size_t bytes = 0;
  for (int slot = static_cast<int>(TensorSlot::kAttentionNorm); slot < kNumTensorSlots; ++slot) {
    const TensorView* tensor = tensors.Get(static_cast<TensorSlot>(slot), layer);
    if (tensor != nullptr) bytes += tensor->bytes.size();
  }
  return bytes;
}

// Packs the tensors of `slots`, stacked, with their biases; slots without a bias (or a bias that
// the spec does not have) pass none.
template <size_t N>
std::unique_ptr<LinearWeight> Pack(Device& device, Compute compute, const TensorMap& tensors,
                                   int layer, const std::array<TensorSlot, N>& slots,
                                   const std::array<TensorSlot, N>& bias_slots) {
  std::array<TensorView, N> parts;
  std::array<TensorView, N> biases;
  bool has_bias = false;
  for (size_t i = 0; i < N; ++i) {
    parts[i] = *tensors.Get(slots[i], layer);
    const TensorView* bias = tensors.Get(bias_slots[i], layer);
    if (bias == nullptr) continue;
    biases[i] = *bias;
    has_bias = true;
  }
  return device.PackLinear(
      parts, has_bias ? std::span<const TensorView>(biases) : std::span<const TensorView>(),
      compute);
}

std::vector<float> DecodeVector(const TensorView& tensor) {
  CheckFinite(tensor);
  std::vector<float> values(static_cast<size_t>(tensor.shape.NumValues()));
  DecodeRows(tensor, 0, tensor.shape.NumRows(), values.data());
  return values;
}

RopeSpec RopeOf(const DecoderSpec& spec, const TensorMap& tensors) {
  const TensorView* factors = tensors.Get(TensorSlot::kRopeFactors);
  return MakeRopeSpec(spec.rope,
                      factors == nullptr ? std::vector<float>() : DecodeVector(*factors));
}

void CheckStep(const BatchPlan& plan, const DecoderSpec& spec, int64_t num_tokens_max) {
  const int64_t num_tokens = plan.num_tokens();
  if (num_tokens < 1 || num_tokens > num_tokens_max) {
    Throw(ErrorCode::kInternal, "a step of {} tokens, the workspace is for 1 to {}", num_tokens,
          num_tokens_max);
  }
  for (const int32_t id : plan.token_ids) {
    if (id < 0 || id >= spec.vocab_size) {
      Throw(ErrorCode::kInternal, "token id {} is outside the vocabulary of {}", id,
            spec.vocab_size);
    }
  }
  if (static_cast<int64_t>(plan.output_rows.size()) > num_tokens) {
    Throw(ErrorCode::kInternal, "{} output rows of {} tokens", plan.output_rows.size(), num_tokens);
  }
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const Checkpoint> checkpoint, Device& device, Compute compute,
                 DecoderSpec spec)
    : checkpoint_(std::move(checkpoint)),
      device_(device),
      compute_(compute),
      spec_(std::move(spec)),
      attention_{spec_.num_heads, spec_.attention_scale, spec_.attention_window} {}

Decoder::~Decoder() = default;

std::unique_ptr<Decoder> Decoder::Load(std::shared_ptr<const Checkpoint> checkpoint, Device& device,
                                       Compute compute, const LoadProgress& progress) {
  DecoderSpec spec = ReadDecoderSpec(*checkpoint);
  const TensorMap tensors = MapCheckpoint(*checkpoint, spec);
  std::unique_ptr<Decoder> decoder(
      new Decoder(std::move(checkpoint), device, compute, std::move(spec)));
  const DecoderSpec& model = decoder->spec_;
  const size_t bytes_total = BytesToLoad(tensors, model);
  size_t bytes_done = 0;
  const auto advance = [&](size_t bytes) {
    bytes_done += bytes;
    if (progress) progress(bytes_done, bytes_total);
  };

  decoder->rope_ = RopeOf(model, tensors);
  decoder->layers_.resize(static_cast<size_t>(model.num_layers));
  decoder->LoadNorms(tensors);
  const TensorView& embedding = *tensors.Get(TensorSlot::kEmbedding);
  decoder->embedding_ = device.PackEmbedding(embedding);
  decoder->weight_bytes_ += decoder->embedding_->size_bytes();
  advance(embedding.bytes.size());
  for (int layer = 0; layer < model.num_layers; ++layer) {
    decoder->LoadLayer(tensors, layer);
    advance(LayerBytes(tensors, layer));
  }
  const TensorView& head = model.tied_embeddings ? embedding : *tensors.Get(TensorSlot::kHead);
  decoder->head_ = device.PackLinear({&head, 1}, {}, compute);
  decoder->weight_bytes_ += decoder->head_->size_bytes();
  advance(bytes_total - bytes_done);
  return decoder;
}

void Decoder::LoadNorms(const TensorMap& tensors) {
  Layout layout;
  for (Layer& layer : layers_) {
    layer.attention_norm = layout.Add(1, spec_.model_dim);
    layer.ffn_norm = layout.Add(1, spec_.model_dim);
  }
  final_norm_ = layout.Add(1, spec_.model_dim);
  norm_buffer_ = device_.Allocate(layout.size_bytes());
  weight_bytes_ += layout.size_bytes();
  const auto upload = [&](TensorSlot slot, int layer, Matrix& to) {
    to.buffer = norm_buffer_.get();
    device_.Upload(DecodeVector(*tensors.Get(slot, layer)), to);
  };
  for (int layer = 0; layer < spec_.num_layers; ++layer) {
    upload(TensorSlot::kAttentionNorm, layer, layers_[layer].attention_norm);
    upload(TensorSlot::kFfnNorm, layer, layers_[layer].ffn_norm);
  }
  upload(TensorSlot::kFinalNorm, 0, final_norm_);
}

void Decoder::LoadLayer(const TensorMap& tensors, int layer) {
  using enum TensorSlot;
  Layer& weights = layers_[layer];
  weights.qkv = Pack<3>(device_, compute_, tensors, layer, {kQuery, kKey, kValue},
                        {kQueryBias, kKeyBias, kValueBias});
  weights.attention_output =
      Pack<1>(device_, compute_, tensors, layer, {kAttentionOutput}, {kAttentionOutputBias});
  weights.gate_up = Pack<2>(device_, compute_, tensors, layer, {kGate, kUp}, {kGateBias, kUpBias});
  weights.down = Pack<1>(device_, compute_, tensors, layer, {kDown}, {kDownBias});
  for (const auto* weight :
       {&weights.qkv, &weights.attention_output, &weights.gate_up, &weights.down}) {
    weight_bytes_ += (*weight)->size_bytes();
  }
}

size_t Decoder::WorkspaceBytes(const DecoderSpec& spec, int64_t num_tokens_max,
                               int64_t num_logits_rows_max) {
  return PlanWorkspace(spec, num_tokens_max, num_logits_rows_max).size_bytes;
}

std::unique_ptr<Decoder::Workspace> Decoder::CreateWorkspace(int64_t num_tokens_max,
                                                             int64_t num_logits_rows_max) const {
  constexpr int64_t kRowsMax = int64_t{1} << 24;  // keeps every size within 63 bits
  if (num_tokens_max < 1 || num_tokens_max > kRowsMax || num_logits_rows_max < 0 ||
      num_logits_rows_max > kRowsMax) {
    Throw(ErrorCode::kInvalid, "a workspace of {} tokens and {} rows of logits: expected 1 to {}",
          num_tokens_max, num_logits_rows_max, kRowsMax);
  }
  WorkspaceLayout plan = PlanWorkspace(spec_, num_tokens_max, num_logits_rows_max);
  auto workspace = std::make_unique<Workspace>();
  workspace->num_tokens_max_ = num_tokens_max;
  workspace->num_logits_rows_max_ = num_logits_rows_max;
  workspace->buffer_ = device_.Allocate(plan.size_bytes);
  const auto place = [&](Matrix matrix) {
    matrix.buffer = workspace->buffer_.get();
    return matrix;
  };
  workspace->residual_ = place(plan.residual);
  workspace->normed_ = place(plan.normed);
  workspace->hidden_ = place(plan.hidden);
  workspace->qkv_ = place(plan.qkv);
  workspace->attention_ = place(plan.attention);
  workspace->gate_up_ = place(plan.gate_up);
  workspace->ffn_ = place(plan.ffn);
  workspace->logits_ = place(plan.logits);
  return workspace;
}

void Decoder::RunLayer(int layer, const DeviceBatch& batch, KvCache& cache, int64_t num_tokens,
                       const Workspace& workspace) const {
  const Layer& weights = layers_[layer];
  const Matrix residual = workspace.residual_.Rows(0, num_tokens);
  const Matrix normed = workspace.normed_.Rows(0, num_tokens);

  const Matrix qkv = workspace.qkv_.Rows(0, num_tokens);
  const Matrix attended = workspace.attention_.Rows(0, num_tokens);
  device_.NormedLinear(residual, {weights.attention_norm, spec_.norm_epsilon}, *weights.qkv, normed,
                       qkv);
  device_.RopeAndStoreKv(qkv, spec_.num_heads, rope_, batch, cache, layer);
  device_.Attend(qkv.Cols(0, spec_.query_dim()), attention_, batch, cache, layer, attended);
  device_.Linear(attended, *weights.attention_output, /*accumulate=*/true, residual);

  const Matrix gate_up = workspace.gate_up_.Rows(0, num_tokens);
  const Matrix ffn = workspace.ffn_.Rows(0, num_tokens);
  device_.FeedForward(residual, {weights.ffn_norm, spec_.norm_epsilon}, *weights.gate_up,
                      spec_.activation, *weights.down, {normed, gate_up, ffn});
}

Matrix Decoder::Forward(const DeviceBatch& batch, const BatchPlan& plan, KvCache& cache,
                        Workspace& workspace, const Probe& probe) const {
  CheckStep(plan, spec_, workspace.num_tokens_max());
  const int64_t num_tokens = plan.num_tokens();
  const Matrix residual = workspace.residual_.Rows(0, num_tokens);
  device_.Embed(*embedding_, batch, spec_.embedding_scale, residual);
  if (probe) probe("embed", -1, residual);
  for (int layer = 0; layer < spec_.num_layers; ++layer) {
    RunLayer(layer, batch, cache, num_tokens, workspace);
    if (probe) probe("layer", layer, residual);
  }
  const Matrix hidden = workspace.hidden_.Rows(0, static_cast<int64_t>(plan.output_rows.size()));
  if (hidden.rows == 0) return hidden;
  device_.GatherOutputRows(residual, batch, hidden);
  device_.RmsNorm(hidden, final_norm_, spec_.norm_epsilon, hidden);
  if (probe) probe("final", spec_.num_layers, hidden);
  return hidden;
}

Matrix Decoder::Logits(const Matrix& hidden, Workspace& workspace) const {
  if (hidden.rows > workspace.num_logits_rows_max()) {
    Throw(ErrorCode::kInternal, "logits of {} rows, the workspace is for {}", hidden.rows,
          workspace.num_logits_rows_max());
  }
  const Matrix logits = workspace.logits_.Rows(0, hidden.rows);
  if (logits.rows > 0) device_.Linear(hidden, *head_, /*accumulate=*/false, logits);
  return logits;
}

}  // namespace retort
