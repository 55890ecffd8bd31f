#include <algorithm>

#include "retort/base/error.h"
#include "retort/tokenizer/json_fields.h"
#include "retort/tokenizer/json_stages.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/tokenizer_parts.h"
#include "retort/tokenizer/vocabulary_builder.h"

namespace retort {
namespace {

using Kind = VocabularyBuilder::Kind;

void CheckModel(const JsonFields& model) {
  // Files of 2019 to 2021 leave the type out; what has merges is BPE.
  const std::string type =
      model.Text("type", model.Find("merges") != nullptr ? "BPE" : "(not given)");
  if (type != "BPE") {
    Throw(ErrorCode::kUnsupported, "{}: type \"{}\" is not supported here; this build has \"BPE\"",
          model.where(), type.substr(0, 100));
  }
  for (const std::string_view name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.Text(name, "").empty()) {
      Throw(ErrorCode::kUnsupported, "{} is not supported here", model.At(name));
    }
  }
  const Json* dropout = model.Find("dropout");
  if (dropout != nullptr && (!dropout->is_number() || dropout->get<double>() != 0)) {
    Throw(ErrorCode::kUnsupported, "{}: only 0 is supported: ids would be random",
          model.At("dropout"));
  }
}

void ReadVocabulary(const JsonFields& model, bool byte_fallback, VocabularyBuilder* builder) {
  const Json* vocab = model.Find("vocab");
  if (vocab == nullptr || !vocab->is_object()) model.Mistyped("vocab", "an object");
  for (const auto& [text, id] : vocab->items()) {
    if (!id.is_number_integer()) {
      Throw(ErrorCode::kInvalid, "{}: \"{}\" has {} for an id", model.At("vocab"),
            text.substr(0, 80), DumpJson(id).substr(0, 40));
    }
    const bool is_byte = byte_fallback && ByteOfFallbackToken(text).has_value();
    builder->Add(id.get<int64_t>(), text, is_byte ? Kind::kByte : Kind::kNormal);
  }
}

void ReadAddedTokens(const JsonFields& root, VocabularyBuilder* builder) {
  if (root.Find("added_tokens") == nullptr) return;
  const Json& list = root.Array("added_tokens");
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonFields fields(list[i], fmt::format("{}.added_tokens[{}]", root.where(), i));
    const int64_t id = fields.Integer("id");
    AddedToken token;
    token.content = fields.Text("content");
    token.single_word = fields.Flag("single_word", false);
    token.lstrip = fields.Flag("lstrip", false);
    token.rstrip = fields.Flag("rstrip", false);
    token.special = fields.Flag("special", false);
    token.normalized = fields.Flag("normalized", !token.special);
    builder->AddToken(id, std::move(token));
  }
}

// Merges are "left right" or ["left", "right"].
void ReadMerges(const JsonFields& model, const VocabularyBuilder& builder, BpeModel* out) {
  const Json& merges = model.Array("merges");
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Json& merge = merges[rank];
    std::string_view left, right;
    if (merge.is_string()) {
      const std::string_view text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space != std::string_view::npos) {
        left = text.substr(0, space);
        right = text.substr(space + 1);
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    }
    if (left.empty() || right.empty()) {
      Throw(ErrorCode::kInvalid, "{}[{}]: {} is neither \"left right\" nor [\"left\", \"right\"]",
            model.At("merges"), rank, DumpJson(merge).substr(0, 80));
    }
    builder.AddMerge(left, right, static_cast<uint32_t>(rank), out);
  }
}

// The name of a token in tokenizer_config.json: a string, or an object with `content`.
std::optional<std::string> TokenName(const JsonFields& config, std::string_view name) {
  const Json* value = config.Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_object()) return JsonFields(*value, config.At(name)).Text("content");
  return config.Text(name);
}

struct Config {
  std::optional<std::string> bos, eos, unk, pad;
  std::optional<bool> add_bos, add_eos;
};

Config ReadConfig(std::string_view text, std::string_view origin) {
  Config out;
  if (text.empty()) return out;
  const std::string where = fmt::format("{} (tokenizer_config)", origin);
  const Json json = ParseJson(text, where);
  const JsonFields fields(json, where);
  out.bos = TokenName(fields, "bos_token");
  out.eos = TokenName(fields, "eos_token");
  out.unk = TokenName(fields, "unk_token");
  out.pad = TokenName(fields, "pad_token");
  if (fields.Find("add_bos_token")) out.add_bos = fields.Flag("add_bos_token", false);
  if (fields.Find("add_eos_token")) out.add_eos = fields.Flag("add_eos_token", false);
  return out;
}

// Puts `id` into `ids`, or takes it out, where the config says so.
void ApplyChoice(std::optional<bool> wanted, std::optional<int32_t> id, bool at_front,
                 std::vector<int32_t>* ids) {
  if (!wanted || !id) return;
  const auto at = std::find(ids->begin(), ids->end(), *id);
  if (*wanted && at == ids->end()) ids->insert(at_front ? ids->begin() : ids->end(), *id);
  if (!*wanted && at != ids->end()) ids->erase(at);
}

void CheckIds(const std::vector<int32_t>& ids, size_t num_ids, const std::string& where) {
  for (int32_t id : ids) {
    if (static_cast<size_t>(id) >= num_ids) {
      Throw(ErrorCode::kCorrupt, "{}: id {} is outside the vocabulary [0, {})", where, id, num_ids);
    }
  }
}

std::vector<int32_t> FindNamed(const Config& config, const VocabularyBuilder& builder,
                               TokenizerParts* parts) {
  std::vector<int32_t> named;
  const auto find = [&](const std::optional<std::string>& name, std::optional<int32_t>* id) {
    if (!name) return;
    for (size_t i = 0; i < builder.num_ids() && !*id; ++i) {
      const auto candidate = static_cast<int32_t>(i);
      if (builder.KindOf(candidate) != Kind::kAbsent && builder.TextOf(candidate) == *name) {
        *id = candidate;
        named.push_back(candidate);
      }
    }
  };
  find(config.bos, &parts->bos_id);
  find(config.eos, &parts->eos_id);
  find(config.unk, &parts->unk_id);
  find(config.pad, &parts->pad_id);
  return named;
}

}  // namespace

std::shared_ptr<const Tokenizer> LoadTokenizerJson(std::string_view json_text,
                                                   std::string_view origin,
                                                   std::string_view config_text) {
  const std::string where(origin);
  const Json json = ParseJson(json_text, origin);
  const JsonFields root(json, where);
  const Json* model_json = root.Find("model");
  if (model_json == nullptr) root.Mistyped("model", "an object");
  const JsonFields model(*model_json, root.At("model"));
  CheckModel(model);
  const Config config = ReadConfig(config_text, origin);

  TokenizerParts parts;
  PatternCompiler patterns;
  parts.normalizer = NormalizerFromJson(root.Find("normalizer"), root.At("normalizer"), &patterns);
  JsonPreTokenizer pre =
      PreTokenizerFromJson(root.Find("pre_tokenizer"), root.At("pre_tokenizer"), &patterns);
  parts.pre_tokenizer = std::move(pre.stages);
  const TokenDecoder decoder =
      TokenDecoder::FromJson(root.Find("decoder"), root.At("decoder"), &patterns);
  JsonSurround surround =
      PostProcessorFromJson(root.Find("post_processor"), root.At("post_processor"));

  const bool byte_fallback = model.Flag("byte_fallback", false);
  VocabularyBuilder builder(where);
  ReadVocabulary(model, byte_fallback, &builder);
  ReadAddedTokens(root, &builder);
  builder.Finish(FindNamed(config, builder, &parts));
  const size_t num_ids = builder.num_ids();

  const bool byte_level = pre.byte_level;
  auto bpe = builder.MakeModel(
      byte_level ? BpeModel::Unit::kByte : BpeModel::Unit::kCharacter, BpeModel::MergeBy::kPair,
      byte_level ? VocabularyBuilder::Spelling::kByteLevel : VocabularyBuilder::Spelling::kPlain,
      model.Array("merges").size());
  ReadMerges(model, builder, bpe.get());
  bpe->whole_word_first = model.Flag("ignore_merges", false);
  bpe->fuse_unk = model.Flag("fuse_unk", false);
  if (const std::string unk = model.Text("unk_token", ""); !unk.empty()) {
    bpe->unk_id = builder.IdOf(unk);
    if (bpe->unk_id < 0) {
      Throw(ErrorCode::kCorrupt, "{}: \"{}\" is not a token of the vocabulary",
            model.At("unk_token"), unk.substr(0, 80));
    }
    if (!parts.unk_id) parts.unk_id = bpe->unk_id;
  }

  builder.FillParts(&parts);
  WorkBudget budget(builder.num_bytes(), where);
  size_t num_bytes = 0;  // of all tokens decoded
  for (size_t i = 0; i < num_ids; ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view text = builder.TextOf(id);
    // Special tokens, and added ones beside a byte-level model, are the text they are.
    const bool literal =
        parts.special[i] || (decoder.byte_level() && builder.KindOf(id) == Kind::kOther);
    const std::string bytes = literal ? std::string(text) : decoder.Bytes(text, &budget);
    num_bytes += bytes.size();
    if (num_bytes > kVocabBytesMax) {
      Throw(ErrorCode::kExhausted, "{}: the tokens stand for more than {} bytes together",
            root.At("decoder"), kVocabBytesMax);
    }
    parts.bytes_of_ids.Append(bytes);
  }
  parts.num_leading_spaces_stripped = decoder.num_leading_spaces_stripped();
  CheckIds(surround.prefix, num_ids, root.At("post_processor"));
  CheckIds(surround.suffix, num_ids, root.At("post_processor"));
  if (!parts.bos_id && surround.prefix.size() == 1) parts.bos_id = surround.prefix[0];
  ApplyChoice(config.add_bos, parts.bos_id, true, &surround.prefix);
  ApplyChoice(config.add_eos, parts.eos_id, false, &surround.suffix);
  parts.prefix_ids = std::move(surround.prefix);
  parts.suffix_ids = std::move(surround.suffix);
  parts.model = std::move(bpe);
  return std::make_shared<const Tokenizer>(std::move(parts));
}

}  // namespace retort
