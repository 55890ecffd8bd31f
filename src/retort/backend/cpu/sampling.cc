#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "retort/backend/cpu/ops.h"
#include "retort/backend/cpu/vector_kernels.h"
#include "retort/base/error.h"
#include "retort/base/random.h"

// One row of logits on one thread. Weights exp((logit − largest) / temperature) are f32, their sums
// f64 in a fixed order: inside blocks of kLogitBlock tokens, then block by block. Nothing is sorted
// but what top_k, a small top_p or the report of the largest ask for.
namespace retort::cpu {
namespace {

struct Candidate {
  float logit;
  int32_t token_id;

  bool operator<(const Candidate& other) const {
    return logit != other.logit ? logit > other.logit : token_id < other.token_id;
  }
};

struct WeightedCandidate {
  Candidate candidate;
  float weight;
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
  std::vector<WeightedCandidate> all;
};

// The last token that is kept: those before it in Candidate's order are kept too.
constexpr Candidate kKeepAll = {-INFINITY, std::numeric_limits<int32_t>::max()};

class RowSampler {
 public:
  // `allowed` as in SamplingRow. Throws Error{kCorrupt} for NaN or +inf, {kInvalid} if no token can
  // be drawn.
  RowSampler(const VectorKernels& kernels, const float* logits, int64_t vocab,
             const uint32_t* allowed, int64_t index, Scratch& scratch)
      : kernels_(kernels), logits_(logits), vocab_(vocab), scratch_(scratch) {
    const auto num_blocks = static_cast<size_t>((vocab + kLogitBlock - 1) / kLogitBlock);
    scratch.maxima.resize(num_blocks);
    scratch.sums.resize(num_blocks);
    const bool is_number = kernels.block_maxima(logits_, vocab, scratch.maxima.data());
    largest_ = LargestOf(scratch.maxima);
    // Reported wherever they are, allowed or not.
    if (!is_number || largest_ == INFINITY) {
      const float* bad = std::find_if(logits_, logits_ + vocab, [](float logit) {
        return std::isnan(logit) || logit == INFINITY;
      });
      Throw(ErrorCode::kCorrupt, "logits row {}: {} at token {}", index, *bad, bad - logits_);
    }
    if (allowed != nullptr) {
      scratch.masked.resize(static_cast<size_t>(vocab));
      kernels.mask(logits_, allowed, vocab, scratch.masked.data(), scratch.maxima.data());
      logits_ = scratch.masked.data();
      largest_ = LargestOf(scratch.maxima);
    }
    if (largest_ == -INFINITY) {
      Throw(ErrorCode::kInvalid, "logits row {}: no token is allowed", index);
    }
  }

  int32_t Draw(const SamplingRow& row) {
    if (row.temperature == 0.0f) return Largest();
    return DrawKept(row, LastKept(row), RandomUniform(row.seed, row.position));
  }

  // log Σ exp(logit).
  double LogSum() {
    SumBlocks(1.0f, 0.0f);
    return double{largest_} + std::log(TotalOfBlocks());
  }

  // The `count` largest, in order, without those at -inf.
  const std::vector<Candidate>& Top(int64_t count) {
    std::vector<Candidate>& candidates = scratch_.candidates;
    candidates.clear();
    const float least = LeastOfTop(count);
    for (size_t block = 0; block < scratch_.maxima.size(); ++block) {
      if (scratch_.maxima[block] < least || !HasTokens(block)) continue;
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
  static float LargestOf(const std::vector<float>& maxima) {
    return *std::max_element(maxima.begin(), maxima.end());
  }

  // False: nothing can be drawn from the block, and what logits_ holds there is not to be read.
  bool HasTokens(size_t block) const { return scratch_.maxima[block] != -INFINITY; }

  void SumBlocks(float temperature, float weight_min) {
    const size_t num_blocks = scratch_.sums.size();
    for (size_t begin = 0, end = 0; begin < num_blocks; begin = end) {
      const bool has_tokens = HasTokens(begin);
      for (end = begin + 1; end < num_blocks && HasTokens(end) == has_tokens;) ++end;
      if (!has_tokens) {
        std::fill(scratch_.sums.begin() + static_cast<std::ptrdiff_t>(begin),
                  scratch_.sums.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
        continue;
      }
      const int64_t first = static_cast<int64_t>(begin) * kLogitBlock;
      const int64_t count = std::min(vocab_, static_cast<int64_t>(end) * kLogitBlock) - first;
      kernels_.block_sums(logits_ + first, count, largest_, temperature, weight_min,
                          &scratch_.sums[begin]);
    }
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

  // Weights of one block's tokens into `weights`, 0 for those that are not kept. Returns their
  // number.
  int64_t WeighBlock(const SamplingRow& row, const Candidate& last, int64_t block,
                     float* weights) const {
    const int64_t begin = block * kLogitBlock;
    const int64_t count = std::min(kLogitBlock, vocab_ - begin);
    kernels_.weights(logits_ + begin, count, largest_, row.temperature, row.min_p, weights);
    for (int64_t i = 0; i < count; ++i) {
      if (last < Candidate{logits_[begin + i], static_cast<int32_t>(begin + i)}) weights[i] = 0.0f;
    }
    return count;
  }

  // Draws among the tokens up to `last` whose weight is at least min_p, by ascending id.
  int32_t DrawKept(const SamplingRow& row, const Candidate& last, double u) {
    const auto num_blocks = std::ssize(scratch_.sums);
    float weights[kLogitBlock];
    if (last.logit == -INFINITY) {
      SumBlocks(row.temperature, row.min_p);
    } else {
      for (int64_t block = 0; block < num_blocks; ++block) {
        double sum = 0;
        if (scratch_.maxima[block] >= last.logit) {
          const int64_t count = WeighBlock(row, last, block, weights);
          for (int64_t i = 0; i < count; ++i) sum += double{weights[i]};
        }
        scratch_.sums[block] = sum;
      }
    }
    const double target = u * TotalOfBlocks();
    double mass = 0;
    int64_t drawn_block = 0;  // with weight
    for (int64_t block = 0; block < num_blocks; ++block) {
      if (scratch_.sums[block] == 0) continue;
      drawn_block = block;
      if (mass + scratch_.sums[block] > target) break;
      mass += scratch_.sums[block];
    }
    // Sums round, so the walk may end short of the target: then the last token that has weight.
    const int64_t count = WeighBlock(row, last, drawn_block, weights);
    int64_t drawn = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (weights[i] == 0) continue;
      drawn = i;
      mass += double{weights[i]};
      if (mass > target) break;
    }
    return static_cast<int32_t>(drawn_block * kLogitBlock + drawn);
  }

  // What top_k and top_p keep.
  Candidate LastKept(const SamplingRow& row) {
    if (row.top_k > 0 && row.top_k < vocab_) {
      Top(row.top_k);
      WeighCandidates(row.temperature);
      double total = 0;
      for (const float weight : scratch_.weights) total += double{weight};
      return LastOfTop(row.top_p < 1.0f ? double{row.top_p} * total : INFINITY);
    }
    if (row.top_p == 1.0f) return kKeepAll;
    SumBlocks(row.temperature, 0.0f);
    const double total = TotalOfBlocks();
    const double mass = double{row.top_p} * total;
    // Most rows need few tokens.
    constexpr int64_t kFew = 128;
    if (vocab_ > kFew) {
      Top(kFew);
      WeighCandidates(row.temperature);
      double sum = 0;
      for (const float weight : scratch_.weights) sum += double{weight};
      if (sum >= mass) return LastOfTop(mass);
    }
    // Tokens below this weigh, all together, less than what top_p drops.
    const auto weight_min = static_cast<float>((total - mass) / static_cast<double>(vocab_));
    return LastOfAll(row.temperature, weight_min, mass);
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

  // The candidate with which the sorted candidates reach `mass`, or the last.
  Candidate LastOfTop(double mass) const {
    double sum = 0;
    for (size_t i = 0; i < scratch_.candidates.size(); ++i) {
      sum += double{scratch_.weights[i]};
      if (sum >= mass) return scratch_.candidates[i];
    }
    return scratch_.candidates.back();
  }

  // The token with which all tokens, in Candidate's order, reach `mass`: a selection by weight, in
  // linear time, for rows so flat that sorting what is kept would take long.
  Candidate LastOfAll(float temperature, float weight_min, double mass) {
    std::vector<WeightedCandidate>& all = scratch_.all;
    all.clear();
    float weights[kLogitBlock];
    for (int64_t begin = 0; begin < vocab_; begin += kLogitBlock) {
      if (!HasTokens(static_cast<size_t>(begin / kLogitBlock))) continue;
      const int64_t count = std::min(kLogitBlock, vocab_ - begin);
      kernels_.weights(logits_ + begin, count, largest_, temperature, weight_min, weights);
      for (int64_t i = 0; i < count; ++i) {
        const auto token = static_cast<int32_t>(begin + i);
        if (weights[i] > 0) all.push_back({{logits_[token], token}, weights[i]});
      }
    }
    auto begin = all.begin();
    auto end = all.end();
    const auto is_before = [](const WeightedCandidate& a, const WeightedCandidate& b) {
      return a.candidate < b.candidate;
    };
    constexpr std::ptrdiff_t kSorted = 64;
    while (end - begin > kSorted) {
      const auto middle = begin + (end - begin) / 2;
      std::nth_element(begin, middle, end, is_before);
      double upper = 0;
      for (auto it = begin; it != middle; ++it) upper += double{it->weight};
      if (upper >= mass) {
        end = middle;
      } else {
        mass -= upper;
        begin = middle;
      }
    }
    std::sort(begin, end, is_before);
    auto last = begin;
    for (double sum = double{last->weight}; sum < mass && last + 1 != end;) {
      ++last;
      sum += double{last->weight};
    }
    return last->candidate;
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
