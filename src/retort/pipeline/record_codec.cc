#include "retort/pipeline/record_codec.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace retort {
namespace {

// Little-endian machines only, as are all that this builds for; a cache stays on its machine.
class Packer {
 public:
  template <typename T>
  void Number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Text(std::string_view text) {
    Number(static_cast<uint64_t>(text.size()));
    bytes_.append(text);
  }
  template <typename T>
  void Numbers(const std::vector<T>& values) {
    Number(static_cast<uint64_t>(values.size()));
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T Number() {
    T value;
    std::memcpy(&value, Take(sizeof value).data(), sizeof value);
    return value;
  }
  // A count of things of at least `bytes_each`: bounded by what is left.
  size_t Count(size_t bytes_each) {
    const auto count = Number<uint64_t>();
    if (count > bytes_.size() / bytes_each) Fail();
    return static_cast<size_t>(count);
  }
  std::string Text() { return std::string(Take(Count(1))); }
  template <typename T>
  std::vector<T> Numbers() {
    std::vector<T> values(Count(sizeof(T)));
    const std::string_view bytes = Take(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  void Finish() const {
    if (!bytes_.empty()) Fail();
  }

 private:
  [[noreturn]] static void Fail() {
    Throw(ErrorCode::kCorrupt, "a record of the cache is not what it says it is: delete the cache");
  }
  std::string_view Take(size_t size) {
    if (size > bytes_.size()) Fail();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
};

std::string EncodeCompletion(const Completion& completion, int prompt_tokens) {
  Packer packer;
  packer.Number(static_cast<int32_t>(prompt_tokens));
  packer.Number(static_cast<uint8_t>((completion.finish_reason == FinishReason::kStop ? 0 : 1) |
                                     (completion.constraint_met ? 0 : 2)));
  packer.Text(completion.text);
  packer.Numbers(completion.token_ids);
  packer.Number(static_cast<uint64_t>(completion.logprobs.size()));
  for (const TokenLogprobs& token : completion.logprobs) {
    packer.Number(token.token_id);
    packer.Number(token.logprob);
    packer.Number(static_cast<uint64_t>(token.top.size()));
    for (const auto& [id, logprob] : token.top) {
      packer.Number(id);
      packer.Number(logprob);
    }
  }
  return packer.Take();
}

Completion DecodeCompletion(Unpacker& unpacker) {
  Completion completion;
  const auto flags = unpacker.Number<uint8_t>();
  completion.finish_reason = (flags & 1) == 0 ? FinishReason::kStop : FinishReason::kLength;
  completion.constraint_met = (flags & 2) == 0;
  completion.text = unpacker.Text();
  completion.token_ids = unpacker.Numbers<int32_t>();
  completion.logprobs.resize(unpacker.Count(16));
  for (TokenLogprobs& token : completion.logprobs) {
    token.token_id = unpacker.Number<int32_t>();
    token.logprob = unpacker.Number<float>();
    token.top.resize(unpacker.Count(8));
    for (auto& [id, logprob] : token.top) {
      id = unpacker.Number<int32_t>();
      logprob = unpacker.Number<float>();
    }
  }
  return completion;
}

}  // namespace

RecordKind KindOf(const Request& request) {
  if (std::holds_alternative<Scoring>(request.work)) return RecordKind::kScores;
  if (std::holds_alternative<Embedding>(request.work)) return RecordKind::kEmbedding;
  return RecordKind::kCompletion;
}

std::string EncodeResponse(const Response& response) {
  if (const auto* completion = std::get_if<Completion>(&response.result)) {
    return EncodeCompletion(*completion, response.usage.prompt_tokens);
  }
  Packer packer;
  if (const auto* scores = std::get_if<Scores>(&response.result)) {
    packer.Number(static_cast<uint64_t>(scores->continuations.size()));
    for (const ContinuationScore& score : scores->continuations) {
      packer.Number(score.logprob);
      packer.Number(score.first_token_logprob);
      packer.Number(static_cast<int32_t>(score.num_tokens));
    }
    return packer.Take();
  }
  if (const auto* embedding = std::get_if<EmbeddingVector>(&response.result)) {
    packer.Numbers(embedding->values);
    return packer.Take();
  }
  Throw(ErrorCode::kInternal, "a failed request has nothing to keep");
}

Response DecodeResponse(RecordKind kind, std::string_view bytes) {
  Unpacker unpacker(bytes);
  Response response{Completion(), {}};
  switch (kind) {
    case RecordKind::kCompletion:
      response.usage.prompt_tokens = unpacker.Number<int32_t>();
      response.result = DecodeCompletion(unpacker);
      break;
    case RecordKind::kScores: {
      Scores scores;
      scores.continuations.resize(unpacker.Count(20));
      for (ContinuationScore& score : scores.continuations) {
        score.logprob = unpacker.Number<double>();
        score.first_token_logprob = unpacker.Number<double>();
        score.num_tokens = unpacker.Number<int32_t>();
      }
      response.result = std::move(scores);
      break;
    }
    case RecordKind::kEmbedding:
      response.result = EmbeddingVector{unpacker.Numbers<float>()};
      break;
    case RecordKind::kStepOutputs:
      Throw(ErrorCode::kInternal, "a step's outputs are no response");
  }
  unpacker.Finish();
  return response;
}

std::string EncodeRow(const Json& row) {
  std::string bytes;
  Json::to_cbor(row, nlohmann::detail::output_adapter<char>(bytes));
  return bytes;
}

Json DecodeRow(std::string_view bytes) {
  try {
    return Json::from_cbor(bytes);
  } catch (const Json::exception& error) {
    Throw(ErrorCode::kCorrupt, "a record of the cache is no row ({}): delete the cache",
          error.what());
  }
}

std::string EncodeOutputs(const StepOutputs& outputs) {
  Packer packer;
  packer.Number(outputs.context_tokens);
  packer.Number(static_cast<uint8_t>(outputs.marks.cut));
  packer.Number(static_cast<uint8_t>(outputs.marks.missing));
  packer.Text(outputs.row);
  return packer.Take();
}

StepOutputs DecodeOutputs(std::string_view bytes) {
  Unpacker unpacker(bytes);
  StepOutputs outputs;
  outputs.context_tokens = unpacker.Number<int64_t>();
  outputs.marks.cut = unpacker.Number<uint8_t>() != 0;
  outputs.marks.missing = unpacker.Number<uint8_t>() != 0;
  outputs.row = unpacker.Text();
  unpacker.Finish();
  return outputs;
}

}  // namespace retort
