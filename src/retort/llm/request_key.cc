#include "retort/llm/request_key.h"

#include <bit>

namespace retort {
namespace {

void AddFloat(Sha256& digest, float value) {
  // -0 and 0 ask for the same thing.
  digest.Field(uint64_t{std::bit_cast<uint32_t>(value == 0.0f ? 0.0f : value)});
}

void AddInt(Sha256& digest, int64_t value) { digest.Field(static_cast<uint64_t>(value)); }

void Add(Sha256& digest, const Generation& work) {
  const SamplingParams& sampling = work.sampling;
  digest.Field("generation");
  AddFloat(digest, sampling.temperature);
  AddInt(digest, sampling.top_k);
  AddFloat(digest, sampling.top_p);
  AddFloat(digest, sampling.min_p);
  // Greedy decoding draws nothing, but callers use seeds to tell repeated requests apart.
  digest.Field(sampling.seed);
  AddInt(digest, sampling.max_new_tokens);
  AddInt(digest, static_cast<int64_t>(sampling.stop.size()));
  for (const std::string& stop : sampling.stop) digest.Field(stop);
  AddInt(digest, sampling.ignore_eos ? 1 : 0);
  AddInt(digest, sampling.num_top_logprobs);
  AddInt(digest, work.constraint ? 1 : 0);
  if (work.constraint) {
    digest.Field(ConstraintKey(*work.constraint));
    AddInt(digest, work.close ? 1 : 0);
  }
}

void Add(Sha256& digest, const Scoring& work) {
  digest.Field("scoring");
  AddInt(digest, static_cast<int64_t>(work.continuations.size()));
  for (const std::string& continuation : work.continuations) digest.Field(continuation);
}

void Add(Sha256& digest, const Embedding& work) {
  digest.Field("embedding");
  AddInt(digest, static_cast<int64_t>(work.pooling));
  AddInt(digest, work.normalize ? 1 : 0);
}

}  // namespace

void AddWork(Sha256& digest, const Request& request) {
  std::visit([&digest](const auto& work) { Add(digest, work); }, request.work);
}

}  // namespace retort
