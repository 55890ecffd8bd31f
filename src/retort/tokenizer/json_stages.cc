#include "retort/tokenizer/json_stages.h"

#include "retort/base/error.h"
#include "retort/tokenizer/json_fields.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/vocabulary.h"

namespace retort {
namespace {

using Behavior = PreTokenizer::Behavior;

[[noreturn]] void Unsupported(const JsonFields& fields, std::string_view kind) {
  Throw(ErrorCode::kUnsupported, "{}: {} \"{}\" is not supported here", fields.where(), kind,
        fields.Text("type").substr(0, 100));
}

void CheckCount(size_t count, const std::string& where) {
  if (count >= kTokenizerStagesMax) {
    Throw(ErrorCode::kInvalid, "{}: more than {} stages", where, kTokenizerStagesMax);
  }
}

// {"String": "x"} or {"Regex": "x"}; an older spelling is the bare string.
struct Pattern {
  std::string text;
  bool is_regex = false;
};

Pattern PatternOf(const JsonFields& fields) {
  const Json* value = fields.Find("pattern");
  if (value == nullptr) fields.Mistyped("pattern", "a pattern");
  if (value->is_string()) return {value->get<std::string>(), false};
  const JsonFields pattern(*value, fields.At("pattern"));
  Pattern out = pattern.Find("Regex") != nullptr ? Pattern{pattern.Text("Regex"), true}
                                                 : Pattern{pattern.Text("String"), false};
  return out;
}

void AddNormalizer(const Json& json, const std::string& where, PatternCompiler* patterns,
                   Normalizer* out) {
  CheckCount(out->size(), where);
  const JsonFields fields(json, where);
  const std::string& type = fields.Text("type");
  const auto add = [&](Normalizer::Stage stage) { out->Add(std::move(stage), where); };
  if (type == "Sequence") {
    const Json& list = fields.Array("normalizers");
    for (size_t i = 0; i < list.size(); ++i) {
      AddNormalizer(list[i], fmt::format("{}.normalizers[{}]", where, i), patterns, out);
    }
  } else if (type == "NFC") {
    add(Normalizer::Unicode{Normalizer::Form::kNfc});
  } else if (type == "NFD") {
    add(Normalizer::Unicode{Normalizer::Form::kNfd});
  } else if (type == "NFKC") {
    add(Normalizer::Unicode{Normalizer::Form::kNfkc});
  } else if (type == "NFKD") {
    add(Normalizer::Unicode{Normalizer::Form::kNfkd});
  } else if (type == "Lowercase") {
    add(Normalizer::Lowercase{});
  } else if (type == "StripAccents") {
    add(Normalizer::StripAccents{});
  } else if (type == "Strip") {
    add(Normalizer::Strip{fields.Flag("strip_left", true), fields.Flag("strip_right", true)});
  } else if (type == "Prepend") {
    add(Normalizer::Prepend{fields.Text("prepend")});
  } else if (type == "Replace") {
    const Pattern from = PatternOf(fields);
    const std::string& to = fields.Text("content");
    if (from.is_regex) {
      add(Normalizer::ReplaceMatches{patterns->Compile(from.text, where), to});
    } else if (!from.text.empty()) {
      add(Normalizer::ReplaceText{from.text, to});
    }
  } else {
    Unsupported(fields, "normalizer");
  }
}

Behavior BehaviorOf(const JsonFields& fields, std::string_view fallback) {
  const std::string name = fields.Text("behavior", fallback);
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  Throw(ErrorCode::kInvalid,
        "{}: behavior \"{}\" is not one of Removed, Isolated, "
        "MergedWithPrevious, MergedWithNext, Contiguous",
        fields.where(), name.substr(0, 100));
}

// How a Metaspace stage or decoder puts a mark in front; older files say add_prefix_space.
PreTokenizer::Prepend PrependOf(const JsonFields& fields) {
  const bool prefix = fields.Flag("add_prefix_space", true);
  const std::string name = fields.Text("prepend_scheme", prefix ? "always" : "never");
  if (name == "always") return PreTokenizer::Prepend::kAlways;
  if (name == "first") return PreTokenizer::Prepend::kFirst;
  if (name == "never") return PreTokenizer::Prepend::kNever;
  Throw(ErrorCode::kInvalid, "{}: prepend_scheme \"{}\" is not one of always, first, never",
        fields.where(), name.substr(0, 100));
}

std::string ReplacementOf(const JsonFields& fields) {
  std::string replacement = fields.Text("replacement", "\xE2\x96\x81");
  if (replacement.empty()) {
    Throw(ErrorCode::kInvalid, "{}: replacement is empty", fields.where());
  }
  return replacement;
}

void AddPreTokenizer(const Json& json, const std::string& where, PatternCompiler* compiler,
                     JsonPreTokenizer* out) {
  PreTokenizer& stages = out->stages;
  CheckCount(stages.size(), where);
  if (out->byte_level) {
    Throw(ErrorCode::kUnsupported, "{}: a stage after ByteLevel is not supported here", where);
  }
  const JsonFields fields(json, where);
  const std::string& type = fields.Text("type");
  const auto split = [&](std::string_view pattern, Behavior behavior, bool invert = false) {
    stages.Add(PreTokenizer::Split{compiler->Compile(pattern, where), behavior, invert}, where);
  };
  if (type == "Sequence") {
    const Json& list = fields.Array("pretokenizers");
    for (size_t i = 0; i < list.size(); ++i) {
      AddPreTokenizer(list[i], fmt::format("{}.pretokenizers[{}]", where, i), compiler, out);
    }
  } else if (type == "Split") {
    const Pattern pattern = PatternOf(fields);
    split(pattern.is_regex ? pattern.text : Regex::Escape(pattern.text),
          BehaviorOf(fields, "Isolated"), fields.Flag("invert", false));
  } else if (type == "ByteLevel") {
    if (fields.Flag("add_prefix_space", true)) stages.Add(PreTokenizer::PrefixSpace{}, where);
    if (fields.Flag("use_regex", true)) split(patterns::kGpt2, Behavior::kIsolated);
    out->byte_level = true;
  } else if (type == "Metaspace") {
    stages.Add(PreTokenizer::Metaspace{ReplacementOf(fields), PrependOf(fields),
                                       fields.Flag("split", true)},
               where);
  } else if (type == "Digits") {
    split(R"(\p{N})",
          fields.Flag("individual_digits", false) ? Behavior::kIsolated : Behavior::kContiguous);
  } else if (type == "Punctuation") {
    split(patterns::kPunctuation, BehaviorOf(fields, "Isolated"));
  } else if (type == "Whitespace") {
    split(patterns::kWordsOrSigns, Behavior::kRemoved, true);
  } else if (type == "WhitespaceSplit") {
    split(R"(\s)", Behavior::kRemoved);
  } else if (type == "CharDelimiterSplit") {
    split(Regex::Escape(fields.Text("delimiter")), Behavior::kRemoved);
  } else if (type == "BertPreTokenizer") {
    split(R"(\s)", Behavior::kRemoved);
    split(patterns::kPunctuation, Behavior::kIsolated);
  } else {
    Unsupported(fields, "pre-tokenizer");
  }
}

}  // namespace

Regex PatternCompiler::Compile(std::string_view pattern, const std::string& where) {
  num_bytes_ += pattern.size();
  if (num_bytes_ > kPatternsBytesMax) {
    Throw(ErrorCode::kExhausted, "{}: the patterns of the file have more than {} bytes together",
          where, kPatternsBytesMax);
  }
  return Regex(pattern, where);
}

Normalizer NormalizerFromJson(const Json* json, const std::string& where,
                              PatternCompiler* patterns) {
  Normalizer out;
  if (json != nullptr) AddNormalizer(*json, where, patterns, &out);
  return out;
}

JsonPreTokenizer PreTokenizerFromJson(const Json* json, const std::string& where,
                                      PatternCompiler* patterns) {
  JsonPreTokenizer out;
  if (json != nullptr) AddPreTokenizer(*json, where, patterns, &out);
  return out;
}

TokenDecoder TokenDecoder::FromJson(const Json* json, const std::string& where,
                                    PatternCompiler* patterns) {
  TokenDecoder out;
  bool fused = false;
  if (json != nullptr) out.Add(*json, where, patterns, &fused);
  return out;
}

void TokenDecoder::AddStrip(const Json& json, const std::string& where, bool fused) {
  const JsonFields fields(json, where);
  const std::string& content = fields.Text("content");
  const int64_t start = fields.Integer("start");
  const int64_t stop = fields.Integer("stop");
  constexpr int kStripMax = 1024;
  if (start < 0 || stop < 0 || start > kStripMax || stop > kStripMax || content.empty()) {
    Throw(ErrorCode::kInvalid, "{}: Strip needs a character, and start and stop from 0 to {}",
          where, kStripMax);
  }
  if (!fused) {
    stages_.push_back({Stage::Kind::kStrip,
                       where,
                       content,
                       {},
                       static_cast<int>(start),
                       static_cast<int>(stop),
                       {}});
    return;
  }
  if (content != " " || stop != 0) {
    Throw(ErrorCode::kUnsupported,
          "{}: stripping anything but leading spaces off the whole text is not supported here",
          where);
  }
  if (num_leading_spaces_stripped_ + start > kStripMax) {
    Throw(ErrorCode::kExhausted, "{}: more than {} leading spaces to strip", where, kStripMax);
  }
  num_leading_spaces_stripped_ += static_cast<int>(start);
}

void TokenDecoder::Add(const Json& json, const std::string& where, PatternCompiler* patterns,
                       bool* fused) {
  CheckCount(stages_.size(), where);
  const JsonFields fields(json, where);
  const std::string& type = fields.Text("type");
  if (type == "Sequence") {
    const Json& list = fields.Array("decoders");
    for (size_t i = 0; i < list.size(); ++i) {
      Add(list[i], fmt::format("{}.decoders[{}]", where, i), patterns, fused);
    }
    return;
  }
  if (type == "Strip") return AddStrip(json, where, *fused);
  if (type == "Fuse") {
    *fused = true;
    return;
  }
  if (*fused) {
    Throw(ErrorCode::kUnsupported, "{}: decoder \"{}\" after Fuse is not supported here", where,
          type.substr(0, 100));
  }
  if (type == "ByteLevel") {
    stages_.push_back({Stage::Kind::kByteLevel, where, {}, {}, 0, 0, {}});
  } else if (type == "ByteFallback") {
    stages_.push_back({Stage::Kind::kByteFallback, where, {}, {}, 0, 0, {}});
  } else if (type == "Metaspace") {
    stages_.push_back({Stage::Kind::kReplaceText, where, ReplacementOf(fields), " ", 0, 0, {}});
    if (PrependOf(fields) != PreTokenizer::Prepend::kNever) ++num_leading_spaces_stripped_;
  } else if (type == "Replace") {
    const Pattern from = PatternOf(fields);
    const std::string& to = fields.Text("content");
    if (from.is_regex) {
      Stage stage{Stage::Kind::kReplaceMatches, where, {}, {}, 0, 0, {}};
      stage.patterns.Add(Normalizer::ReplaceMatches{patterns->Compile(from.text, where), to},
                         where);
      stages_.push_back(std::move(stage));
    } else if (!from.text.empty()) {
      stages_.push_back({Stage::Kind::kReplaceText, where, from.text, to, 0, 0, {}});
    }
  } else {
    Unsupported(fields, "decoder");
  }
}

bool TokenDecoder::byte_level() const {
  for (const Stage& stage : stages_) {
    if (stage.kind == Stage::Kind::kByteLevel) return true;
  }
  return false;
}

namespace {

std::string_view Stripped(std::string_view text, std::string_view what, int num_front,
                          int num_back) {
  for (int i = 0; i < num_front && text.starts_with(what); ++i) text.remove_prefix(what.size());
  for (int i = 0; i < num_back && text.ends_with(what); ++i) text.remove_suffix(what.size());
  return text;
}

}  // namespace

std::string TokenDecoder::Bytes(std::string_view token, WorkBudget* budget) const {
  std::string text(token);
  for (const Stage& stage : stages_) {
    budget->BeginStage(stage.where);
    switch (stage.kind) {
      case Stage::Kind::kReplaceText:
        text = ReplaceAll(text, stage.from, stage.to, budget);
        break;
      case Stage::Kind::kReplaceMatches:
        stage.patterns.Apply(&text, budget);
        break;
      case Stage::Kind::kByteFallback:
        if (const auto byte = ByteOfFallbackToken(text))
          return std::string(1, static_cast<char>(*byte));
        break;
      case Stage::Kind::kByteLevel:
        if (std::string bytes; BytesFromByteLevel(text, &bytes)) text = std::move(bytes);
        break;
      case Stage::Kind::kStrip:
        text = std::string(Stripped(text, stage.from, stage.num_front, stage.num_back));
        break;
    }
  }
  return text;
}

namespace {

int32_t IdFrom(const Json& value, const std::string& where) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0 ||
      value.get<int64_t>() >= kVocabSizeMax) {
    Throw(ErrorCode::kInvalid, "{}: {} is not a token id", where, DumpJson(value).substr(0, 40));
  }
  return static_cast<int32_t>(value.get<int64_t>());
}

// [name, id]
int32_t IdOfPair(const JsonFields& fields, std::string_view name) {
  const Json& pair = fields.Array(name);
  if (pair.size() != 2) fields.Mistyped(name, "a token and its id");
  return IdFrom(pair[1], fields.At(name));
}

void AddTemplate(const JsonFields& fields, JsonSurround* out) {
  const Json& items = fields.Array("single");
  if (items.size() > kSurroundTokensMax) {
    Throw(ErrorCode::kExhausted, "{}: {} items, at most {} are taken", fields.At("single"),
          items.size(), kSurroundTokensMax);
  }
  const Json* tokens = fields.Find("special_tokens");
  JsonSurround added;
  bool after_text = false;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string where = fmt::format("{}.single[{}]", fields.where(), i);
    const JsonFields item(items[i], where);
    if (item.Find("Sequence") != nullptr) {
      if (after_text) Throw(ErrorCode::kUnsupported, "{}: a second Sequence", where);
      after_text = true;
      continue;
    }
    const Json* special = item.Find("SpecialToken");
    if (special == nullptr) item.Mistyped("SpecialToken", "an object");
    const std::string& name = JsonFields(*special, where).Text("id");
    if (tokens == nullptr) fields.Mistyped("special_tokens", "an object");
    const JsonFields named(*tokens, fields.At("special_tokens"));
    const Json* entry = named.Find(name);
    if (entry == nullptr) {
      Throw(ErrorCode::kInvalid, "{}: \"{}\" is not among special_tokens", where,
            name.substr(0, 80));
    }
    const JsonFields token(*entry, named.At(name.substr(0, 80)));
    const Json& ids = token.Array("ids");
    if (added.prefix.size() + added.suffix.size() + ids.size() > kSurroundTokensMax) {
      Throw(ErrorCode::kExhausted, "{}: more than {} tokens around a text", where,
            kSurroundTokensMax);
    }
    for (const Json& id : ids) {
      (after_text ? added.suffix : added.prefix).push_back(IdFrom(id, token.where()));
    }
  }
  out->prefix.insert(out->prefix.begin(), added.prefix.begin(), added.prefix.end());
  out->suffix.insert(out->suffix.end(), added.suffix.begin(), added.suffix.end());
}

void AddPostProcessor(const Json& json, const std::string& where, int* count, JsonSurround* out) {
  CheckCount(static_cast<size_t>((*count)++), where);
  const JsonFields fields(json, where);
  const std::string& type = fields.Text("type");
  if (type == "Sequence") {
    const Json& list = fields.Array("processors");
    for (size_t i = 0; i < list.size(); ++i) {
      AddPostProcessor(list[i], fmt::format("{}.processors[{}]", where, i), count, out);
    }
  } else if (type == "TemplateProcessing") {
    AddTemplate(fields, out);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    out->prefix.insert(out->prefix.begin(), IdOfPair(fields, "cls"));
    out->suffix.push_back(IdOfPair(fields, "sep"));
  } else if (type != "ByteLevel") {  // which only trims offsets
    Unsupported(fields, "post-processor");
  }
}

}  // namespace

JsonSurround PostProcessorFromJson(const Json* json, const std::string& where) {
  JsonSurround out;
  int count = 0;
  if (json != nullptr) AddPostProcessor(*json, where, &count, &out);
  return out;
}

}  // namespace retort
