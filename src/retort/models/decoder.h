#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "retort/backend/device.h"
#include "retort/models/decoder_spec.h"

namespace retort {

class Checkpoint;
class TensorMap;

// Called now and then while weights are packed, from the loading thread. An exception thrown here
// ends the load.
using LoadProgress = std::function<void(size_t bytes_done, size_t bytes_total)>;

// Looks at what a forward computes: "embed" (layer -1) the embedding output, "layer" (0 … L−1) the
// residual stream after that layer, all [T, E], and "final" (L) the normed output rows [R, E]. The
// view is good during the call only.
using Probe = std::function<void(std::string_view name, int layer, const Matrix& values)>;

// A model's weights on one device, and the forward that runs them. Immutable after Load, apart from
// the device's own state; used by one thread at a time, as its device is. Holds no sequence: those
// live in the KvCache that is passed in, of which there may be several.
class Decoder {
 public:
  // Activations of one step, reserved once: a forward allocates nothing.
  class Workspace {
   public:
    int64_t num_tokens_max() const { return num_tokens_max_; }
    int64_t num_logits_rows_max() const { return num_logits_rows_max_; }
    size_t size_bytes() const { return buffer_->size_bytes(); }

   private:
    friend class Decoder;
    int64_t num_tokens_max_ = 0;
    int64_t num_logits_rows_max_ = 0;
    std::unique_ptr<Buffer> buffer_;
    // Views of buffer_, as many rows as the bounds allow. Attention's and the feed-forward's share
    // their place.
    Matrix residual_;   // [T, E]
    Matrix normed_;     // [T, E]
    Matrix hidden_;     // [T, E]: what Forward returns
    Matrix qkv_;        // [T, (H + 2G)·D]
    Matrix attention_;  // [T, H·D]
    Matrix gate_up_;    // [T, 2F]
    Matrix ffn_;        // [T, F]
    Matrix logits_;     // [R, V]
  };

  // Reads the spec, checks that the checkpoint has exactly the tensors it asks for, and packs them
  // on `device`, which must outlive the decoder. The decoder keeps the checkpoint: a device that
  // shares the host's memory looks up embeddings in the mapped file.
  // Throws Error{kUnsupported} for an architecture or a storage format that this build does not
  // know, {kInvalid} for a config that contradicts itself, {kCorrupt} for tensors that are missing,
  // superfluous, of another shape or not finite, {kExhausted} if the device is too small.
  static std::unique_ptr<Decoder> Load(std::shared_ptr<const Checkpoint> checkpoint, Device& device,
                                       Compute compute, const LoadProgress& progress = {});
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  const DecoderSpec& spec() const { return spec_; }
  Compute compute() const { return compute_; }
  Device& device() const { return device_; }
  // Device memory that weights hold, without what is shared with the mapped file.
  size_t weight_bytes() const { return weight_bytes_; }

  // For steps of at most `num_tokens_max` tokens, any number of them output rows, of which at most
  // `num_logits_rows_max` at a time go through Logits. Throws Error{kExhausted}.
  std::unique_ptr<Workspace> CreateWorkspace(int64_t num_tokens_max,
                                             int64_t num_logits_rows_max) const;
  // What CreateWorkspace would reserve.
  static size_t WorkspaceBytes(const DecoderSpec& spec, int64_t num_tokens_max,
                               int64_t num_logits_rows_max);

  // Runs one step: writes the keys and values of every row to `cache` and returns the hidden states
  // [R, E], after the final norm, of plan.output_rows in their order. `batch` holds `plan` (already
  // uploaded); `plan` gives the sizes. The view is good until the next Forward on this workspace.
  // Asynchronous if the device is. For mean pooling list every row in output_rows.
  Matrix Forward(const DeviceBatch& batch, const BatchPlan& plan, KvCache& cache,
                 Workspace& workspace, const Probe& probe = {}) const;

  // Logits [R, V] of hidden states [R, E] (any rows of what Forward returned), R at most
  // num_logits_rows_max. The view is good until the next Logits on this workspace.
  Matrix Logits(const Matrix& hidden, Workspace& workspace) const;

 private:
  struct Layer {
    Matrix attention_norm;                           // [1, E]
    Matrix ffn_norm;                                 // [1, E]
    std::unique_ptr<LinearWeight> qkv;               // [(H + 2G)·D, E]
    std::unique_ptr<LinearWeight> attention_output;  // [E, H·D]
    std::unique_ptr<LinearWeight> gate_up;           // [2F, E]
    std::unique_ptr<LinearWeight> down;              // [E, F]
  };

  Decoder(std::shared_ptr<const Checkpoint> checkpoint, Device& device, Compute compute,
          DecoderSpec spec);
  void LoadNorms(const TensorMap& tensors);
  void LoadLayer(const TensorMap& tensors, int layer);
  void RunLayer(int layer, const DeviceBatch& batch, KvCache& cache, int64_t num_tokens,
                const Workspace& workspace) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  Device& device_;
  Compute compute_;
  DecoderSpec spec_;
  RopeSpec rope_;
  AttentionSpec attention_;
  std::unique_ptr<Buffer> norm_buffer_;  // every norm's weight: two per layer, then the final one
  Matrix final_norm_;                    // [1, E]
  std::unique_ptr<EmbeddingTable> embedding_;
  std::vector<Layer> layers_;
  std::unique_ptr<LinearWeight> head_;
  size_t weight_bytes_ = 0;
};

}  // namespace retort
