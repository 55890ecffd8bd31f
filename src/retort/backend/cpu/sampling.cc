#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "retort/backend/cpu/ops.h"
#include "retort/backend/cpu/vector_kernels.h"
#include "retort/base/error.h"
#include "retort/base/random.h"

// One row of logits on one thread. Weights exp((logit − largest) / temperature) are f32, their sums
// f64 in a fixed order: inside blocks of kLogitBlock tokens, then block by block. Nothing is sorted
// but the tokens that top_k, top_p or the report of the largest ask for.
namespace retort::cpu {
namespace {

struct Candidate {
  float logit;
  int32_t token_id;

  bool operator<(const Candidate& other) const {
    return logit != other.logit ? logit > other.logit : token_id < other.token_id;
  }
};

// Memory of one thread, kept from row to row.
struct Scratch {
  std::vector<float> masked;
  std::vector<float> maxima;  // of each block
  std::vector<float> order;
  std::vector<double> sums;  // of each block
  std::vector<Candidate> candidates;
  std::vector<float> logits;  // of the candidates
  std::vector<float> weights;
};

class RowSampler {
 public:
  // `allowed` as in SamplingRow. Throws Error{kCorrupt} for NaN or +inf, {kInvalid} if no token can
  // be drawn.
  RowSampler(const VectorKernels& kernels, const float* logits, int64_t vocab,
             const uint32_t* allowed, int64_t index, Scratch& scratch)
      : kernels_(kernels), logits_(logits), vocab_(vocab), scratch_(scratch) {
    if (allowed != nullptr) Mask(allowed);
    const auto num_blocks = static_cast<size_t>((vocab + kLogitBlock - 1) / kLogitBlock);
    scratch.maxima.resize(num_blocks);
    scratch.sums.resize(num_blocks);
    const bool is_number = kernels.block_maxima(logits_, vocab, scratch.maxima.data());
    largest_ = *std::max_element(scratch.maxima.begin(), scratch.maxima.end());
    if (!is_number || largest_ == INFINITY) {
      const float* bad = std::find_if(logits_, logits_ + vocab, [](float logit) {
        return std::isnan(logit) || logit == INFINITY;
      });
      Throw(ErrorCode::kCorrupt, "logits row {}: {} at token {}", index, *bad, bad - logits_);
    }
    if (largest_ == -INFINITY) {
      Throw(ErrorCode::kInvalid, "logits row {}: no token is allowed", index);
    }
  }

  int32_t Draw(const SamplingRow& row) {
    if (row.temperature == 0.0f) return Largest();
    const double u = RandomUniform(row.seed, row.position);
    const bool is_filtered = (row.top_k > 0 && row.top_k < vocab_) || row.top_p < 1.0f;
    return is_filtered ? DrawFiltered(row, u) : DrawFromAll(row, u);
  }

  // log Σ exp(logit).
  double LogSum() {
    kernels_.block_sums(logits_, vocab_, largest_, 1.0f, 0.0f, scratch_.sums.data());
    return double{largest_} + std::log(TotalOfBlocks());
  }

  // The `count` largest, in order, without those at -inf.
  const std::vector<Candidate>& Top(int64_t count) {
    std::vector<Candidate>& candidates = scratch_.candidates;
    candidates.clear();
    const float least = LeastOfTop(count);
    for (size_t block = 0; block < scratch_.maxima.size(); ++block) {
      if (scratch_.maxima[block] < least) continue;
      const int64_t begin = static_cast<int64_t>(block) * kLogitBlock;
      const int64_t end = std::min(vocab_, begin + kLogitBlock);
      for (int64_t token = begin; token < end; ++token) {
        const float logit = logits_[token];
        if (logit >= least && logit != -INFINITY) {
          candidates.push_back({logit, static_cast<int32_t>(token)});
        }
      }
    }
    if (std::ssize(candidates) > count) {
      std::nth_element(candidates.begin(), candidates.begin() + count, candidates.end());
      candidates.resize(static_cast<size_t>(count));
    }
    std::sort(candidates.begin(), candidates.end());
    return candidates;
  }

  float logit(int32_t token) const { return logits_[token]; }

 private:
  void Mask(const uint32_t* allowed) {
    scratch_.masked.resize(static_cast<size_t>(vocab_));
    for (int64_t token = 0; token < vocab_; ++token) {
      const bool is_allowed = ((allowed[token / 32] >> (token % 32)) & 1) != 0;
      // NaN and +inf stay: they are reported wherever they are.
      const bool is_number = logits_[token] < INFINITY;
      scratch_.masked[token] = is_allowed || !is_number ? logits_[token] : -INFINITY;
    }
    logits_ = scratch_.masked.data();
  }

  int32_t Largest() const {
    const auto block = std::find(scratch_.maxima.begin(), scratch_.maxima.end(), largest_);
    const float* begin = logits_ + (block - scratch_.maxima.begin()) * kLogitBlock;
    return static_cast<int32_t>(std::find(begin, logits_ + vocab_, largest_) - logits_);
  }

  // A logit that at least `count` tokens reach: the count-th largest of the blocks' maxima.
  float LeastOfTop(int64_t count) {
    if (count >= std::ssize(scratch_.maxima)) return -INFINITY;
    scratch_.order = scratch_.maxima;
    const auto nth = scratch_.order.begin() + std::max<int64_t>(0, count - 1);
    std::nth_element(scratch_.order.begin(), nth, scratch_.order.end(), std::greater<>());
    return *nth;
  }

  double TotalOfBlocks() const {
    double total = 0;
    for (const double sum : scratch_.sums) total += sum;
    return total;
  }

  int32_t DrawFromAll(const SamplingRow& row, double u) {
    kernels_.block_sums(logits_, vocab_, largest_, row.temperature, row.min_p,
                        scratch_.sums.data());
    const double target = u * TotalOfBlocks();
    double mass = 0;
    size_t last = 0;  // block with weight
    for (size_t block = 0; block < scratch_.sums.size(); ++block) {
      if (scratch_.sums[block] == 0) continue;
      last = block;
      if (mass + scratch_.sums[block] > target) break;
      mass += scratch_.sums[block];
    }
    const int64_t begin = static_cast<int64_t>(last) * kLogitBlock;
    const int64_t count = std::min(kLogitBlock, vocab_ - begin);
    float weights[kLogitBlock];
    kernels_.weights(logits_ + begin, count, largest_, row.temperature, row.min_p, weights);
    // Sums round, so the walk may end short of the target: then the last token that has weight.
    int64_t drawn = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (weights[i] == 0) continue;
      drawn = i;
      mass += double{weights[i]};
      if (mass > target) break;
    }
    return static_cast<int32_t>(begin + drawn);
  }

  // Weights of scratch_.candidates, in their order.
  void WeighCandidates(float temperature) {
    const std::vector<Candidate>& candidates = scratch_.candidates;
    scratch_.logits.resize(candidates.size());
    scratch_.weights.resize(candidates.size());
    for (size_t i = 0; i < candidates.size(); ++i) scratch_.logits[i] = candidates[i].logit;
    kernels_.weights(scratch_.logits.data(), std::ssize(candidates), largest_, temperature, 0.0f,
                     scratch_.weights.data());
  }

  // How many of the candidates, in their order, it takes to reach `mass`; all if they do not.
  size_t CountUntil(double mass) const {
    double sum = 0;
    size_t i = 0;
    while (i < scratch_.weights.size() && sum < mass) sum += double{scratch_.weights[i++]};
    return i;
  }

  // Leaves in scratch_ what top_k and top_p keep, the largest first, and its weights.
  void Filter(const SamplingRow& row) {
    if (row.top_k > 0) {
      Top(row.top_k);
      WeighCandidates(row.temperature);
      if (row.top_p < 1.0f) {
        double total = 0;
        for (const float weight : scratch_.weights) total += double{weight};
        scratch_.candidates.resize(CountUntil(double{row.top_p} * total));
      }
      return;
    }
    kernels_.block_sums(logits_, vocab_, largest_, row.temperature, 0.0f, scratch_.sums.data());
    const double mass = double{row.top_p} * TotalOfBlocks();
    // Most rows need few tokens; one that needs many pays for a few smaller tries first.
    for (int64_t count = 64;; count *= 8) {
      Top(std::min(count, vocab_));
      WeighCandidates(row.temperature);
      const size_t num_kept = CountUntil(mass);
      if (num_kept < scratch_.candidates.size() || count >= vocab_) {
        scratch_.candidates.resize(num_kept);
        return;
      }
    }
  }

  int32_t DrawFiltered(const SamplingRow& row, double u) {
    Filter(row);
    std::vector<Candidate>& kept = scratch_.candidates;
    while (kept.size() > 1 && scratch_.weights[kept.size() - 1] < row.min_p) kept.pop_back();
    std::sort(kept.begin(), kept.end(),
              [](const Candidate& a, const Candidate& b) { return a.token_id < b.token_id; });
    WeighCandidates(row.temperature);
    double total = 0;
    for (const float weight : scratch_.weights) total += double{weight};
    const double target = u * total;
    double mass = 0;
    for (size_t i = 0; i < kept.size(); ++i) {
      mass += double{scratch_.weights[i]};
      if (mass > target) return kept[i].token_id;
    }
    return kept.back().token_id;
  }

  const VectorKernels& kernels_;
  const float* logits_;
  const int64_t vocab_;
  Scratch& scratch_;
  float largest_ = 0.0f;
};

SampledToken SampleRow(RowSampler sampler, const SamplingRow& row) {
  SampledToken sampled;
  sampled.token_id = sampler.Draw(row);
  if (row.num_top_logprobs < 0) return sampled;
  const double log_sum = sampler.LogSum();
  const auto logprob = [&](float logit) { return static_cast<float>(double{logit} - log_sum); };
  sampled.logprob = logprob(sampler.logit(sampled.token_id));
  if (row.num_top_logprobs == 0) return sampled;
  for (const Candidate& candidate : sampler.Top(row.num_top_logprobs)) {
    sampled.top_logprobs.push_back({candidate.token_id, logprob(candidate.logit)});
  }
  return sampled;
}

}  // namespace

std::vector<SampledToken> Sample(Context& context, const Rows& logits,
                                 std::span<const SamplingRow> rows) {
  const VectorKernels& kernels = KernelsOf(context.level);
  std::vector<SampledToken> sampled(rows.size());
  std::vector<Scratch> scratch(static_cast<size_t>(context.pool.num_threads()));
  context.pool.ParallelFor(logits.rows, [&](int64_t row, int thread) {
    const RowSampler sampler(kernels, logits.Row(row), logits.cols, rows[row].allowed, row,
                             scratch[thread]);
    sampled[row] = SampleRow(sampler, rows[row]);
  });
  return sampled;
}

std::vector<float> Logprobs(Context& context, const Rows& logits,
                            std::span<const Device::LogprobQuery> queries) {
  const VectorKernels& kernels = KernelsOf(context.level);
  std::vector<char> is_wanted(static_cast<size_t>(logits.rows), 0);
  for (const Device::LogprobQuery& query : queries) is_wanted[query.row] = 1;
  std::vector<double> log_sums(static_cast<size_t>(logits.rows));
  std::vector<Scratch> scratch(static_cast<size_t>(context.pool.num_threads()));
  context.pool.ParallelFor(logits.rows, [&](int64_t row, int thread) {
    if (!is_wanted[row]) return;
    RowSampler sampler(kernels, logits.Row(row), logits.cols, nullptr, row, scratch[thread]);
    log_sums[row] = sampler.LogSum();
  });
  std::vector<float> logprobs;
  logprobs.reserve(queries.size());
  for (const Device::LogprobQuery& query : queries) {
    const double logit = double{logits.Row(query.row)[query.token_id]};
    logprobs.push_back(static_cast<float>(logit - log_sums[query.row]));
  }
  return logprobs;
}

}  // namespace retort::cpu
