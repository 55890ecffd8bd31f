#include "retort/base/error.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/sentence_piece.h"
#include "retort/tokenizer/tokenizer_parts.h"
#include "retort/tokenizer/vocabulary_builder.h"

namespace retort {
namespace {

// Reads the metadata's `tokenizer.ggml.*` with their types checked.
class GgufKeys {
 public:
  GgufKeys(const Json& metadata, std::string_view origin) : metadata_(metadata), origin_(origin) {
    if (!metadata.is_object()) {
      Throw(ErrorCode::kInvalid, "{}: GGUF metadata must be an object, found {}", origin,
            metadata.type_name());
    }
  }

  // nullptr if there is none.
  const Json* Find(std::string_view name) const {
    const auto at = metadata_.find(fmt::format("tokenizer.ggml.{}", name));
    return at == metadata_.end() ? nullptr : &*at;
  }

  const Json& Array(std::string_view name, size_t size_expected) const {
    const Json* value = Find(name);
    if (value == nullptr) {
      Throw(ErrorCode::kInvalid, "{}: tokenizer.ggml.{} is missing", origin_, name);
    }
    if (!value->is_array()) Mistyped(name, "an array", *value);
    if (size_expected != 0 && value->size() != size_expected) {
      Throw(ErrorCode::kCorrupt, "{}: tokenizer.ggml.{} has {} entries for {} tokens", origin_,
            name, value->size(), size_expected);
    }
    return *value;
  }

  std::string Text(std::string_view name, std::string_view fallback) const {
    const Json* value = Find(name);
    if (value == nullptr) return std::string(fallback);
    if (!value->is_string()) Mistyped(name, "a string", *value);
    return value->get<std::string>();
  }

  bool Flag(std::string_view name, bool fallback) const {
    const Json* value = Find(name);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) Mistyped(name, "true or false", *value);
    return value->get<bool>();
  }

  // An id; the all-ones value that some writers use for "none" counts as absent.
  std::optional<int32_t> Id(std::string_view name, size_t num_ids) const {
    const Json* value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_integer()) Mistyped(name, "a token id", *value);
    const auto id = value->get<int64_t>();
    if (id == -1 || id == UINT32_MAX) return std::nullopt;
    if (id < 0 || id >= static_cast<int64_t>(num_ids)) {
      Throw(ErrorCode::kInvalid, "{}: tokenizer.ggml.{} is {}, outside the vocabulary [0, {})",
            origin_, name, id, num_ids);
    }
    return static_cast<int32_t>(id);
  }

  [[noreturn]] void Mistyped(std::string_view name, std::string_view expected,
                             const Json& found) const {
    Throw(ErrorCode::kInvalid, "{}: tokenizer.ggml.{} must be {}, found {}", origin_, name,
          expected, found.type_name());
  }

 private:
  const Json& metadata_;
  std::string_view origin_;
};

const std::string& StringAt(const Json& array, size_t i, const GgufKeys& keys,
                            std::string_view name) {
  if (!array[i].is_string()) keys.Mistyped(fmt::format("{}[{}]", name, i), "a string", array[i]);
  return array[i].get_ref<const std::string&>();
}

void ReadTokens(const GgufKeys& keys, VocabularyBuilder* builder) {
  const Json& tokens = keys.Array("tokens", 0);
  const Json* types = keys.Find("token_type");
  if (types != nullptr) types = &keys.Array("token_type", tokens.size());
  if (tokens.empty()) {
    Throw(ErrorCode::kInvalid, "{}: tokenizer.ggml.tokens is empty", builder->origin());
  }
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string& text = StringAt(tokens, id, keys, "tokens");
    auto type = PieceType::kNormal;
    if (types != nullptr) {
      const Json& value = (*types)[id];
      if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > 6) {
        Throw(ErrorCode::kInvalid, "{}: tokenizer.ggml.token_type[{}] is {}, expected 1 to 6",
              builder->origin(), id, DumpJson(value).substr(0, 40));
      }
      type = static_cast<PieceType>(value.get<int64_t>());
    }
    AddPiece(static_cast<int64_t>(id), text, type, builder);
  }
}

// "left right", parted by the first space that is not the first byte.
void ReadMerges(const GgufKeys& keys, const Json& merges, const VocabularyBuilder& builder,
                BpeModel* model) {
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = StringAt(merges, rank, keys, "merges");
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      Throw(ErrorCode::kCorrupt, "{}: merge {} is \"{}\", expected two tokens with a space between",
            builder.origin(), rank, merge.substr(0, 80));
    }
    builder.AddMerge(merge.substr(0, space), merge.substr(space + 1), static_cast<uint32_t>(rank),
                     model);
  }
}

void BuildByteLevel(const GgufKeys& keys, const VocabularyBuilder& builder,
                    const NamedPreTokenizer& pre, TokenizerParts* parts) {
  const Json& merges = keys.Array("merges", 0);
  auto model = builder.MakeModel(BpeModel::Unit::kByte, BpeModel::MergeBy::kPair,
                                 VocabularyBuilder::Spelling::kByteLevel, merges.size());
  ReadMerges(keys, merges, builder, model.get());
  model->whole_word_first = pre.whole_word_first;
  for (size_t id = 0; id < builder.num_ids(); ++id) {
    // A token that merging makes is the bytes it stands for; any other is its own text.
    const std::string_view made = model->texts[id];
    parts->bytes_of_ids.Append(made.empty() ? builder.TextOf(static_cast<int32_t>(id)) : made);
  }
  if (keys.Flag("add_space_prefix", false))
    parts->pre_tokenizer.Add(PreTokenizer::PrefixSpace{}, builder.origin());
  for (const std::string_view pattern : pre.patterns) {
    parts->pre_tokenizer.Add(PreTokenizer::Split{Regex(pattern, builder.origin()),
                                                 PreTokenizer::Behavior::kIsolated, false},
                             builder.origin());
  }
  parts->model = std::move(model);
}

std::vector<float> ReadScores(const GgufKeys& keys, size_t num_ids) {
  const Json& scores = keys.Array("scores", num_ids);
  std::vector<float> values(num_ids);
  for (size_t id = 0; id < num_ids; ++id) {
    if (!scores[id].is_number()) {
      keys.Mistyped(fmt::format("scores[{}]", id), "a number", scores[id]);
    }
    values[id] = scores[id].get<float>();
  }
  return values;
}

}  // namespace

std::shared_ptr<const Tokenizer> TokenizerFromGguf(const Json& metadata, std::string_view origin) {
  const GgufKeys keys(metadata, origin);
  const std::string kind = keys.Text("model", "");
  if (kind != "gpt2" && kind != "llama") {
    Throw(ErrorCode::kUnsupported,
          "{}: tokenizer.ggml.model is \"{}\"; this build has \"gpt2\" (byte-level BPE) and "
          "\"llama\" (SentencePiece BPE)",
          origin, kind.substr(0, 100));
  }
  VocabularyBuilder builder{std::string(origin)};
  ReadTokens(keys, &builder);
  TokenizerParts parts;
  const size_t num_ids = builder.num_ids();
  parts.bos_id = keys.Id("bos_token_id", num_ids);
  parts.eos_id = keys.Id("eos_token_id", num_ids);
  parts.unk_id = keys.Id("unknown_token_id", num_ids);
  parts.pad_id = keys.Id("padding_token_id", num_ids);
  std::vector<int32_t> named;
  for (const auto& id : {parts.bos_id, parts.eos_id, parts.unk_id, parts.pad_id}) {
    if (id) named.push_back(*id);
  }
  for (const std::string_view name : {"eot_token_id", "eom_token_id"}) {
    if (const auto id = keys.Id(name, num_ids)) parts.end_ids.push_back(*id);
  }
  builder.Finish(named);
  bool adds_bos = true;
  if (kind == "gpt2") {
    const NamedPreTokenizer pre = PreTokenizerNamed(keys.Text("pre", "default"), origin);
    adds_bos = pre.adds_bos;
    BuildByteLevel(keys, builder, pre, &parts);
  } else {
    BuildSentencePiece(builder, ReadScores(keys, num_ids), keys.Flag("add_space_prefix", true),
                       &parts);
  }
  builder.FillParts(&parts);
  if (keys.Flag("add_bos_token", adds_bos) && parts.bos_id) parts.prefix_ids = {*parts.bos_id};
  if (keys.Flag("add_eos_token", false) && parts.eos_id) parts.suffix_ids = {*parts.eos_id};
  return std::make_shared<const Tokenizer>(std::move(parts));
}

}  // namespace retort
