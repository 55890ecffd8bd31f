// A tokenizer file comes from a stranger: what it can make a load or a text cost is bounded.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <utf8proc.h>

#include <ctime>
#include <functional>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/normalizer.h"
#include "retort/tokenizer/regex.h"
#include "retort/tokenizer/vocabulary_builder.h"
#include "retort/tokenizer/work_budget.h"

namespace retort {
namespace {

using testing::HasSubstr;

std::string Repeated(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

Json BaseFile() {
  return ParseJson(R"({
    "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": null,
    "model": {"type": "BPE", "unk_token": "?", "vocab": {"a": 0, "b": 1, "e": 2, "?": 3},
              "merges": []}})",
                   "base");
}

Json Stages(std::string_view list, const Json& stage, size_t times) {
  Json stages = Json::array();
  for (size_t i = 0; i < times; ++i) stages.push_back(stage);
  Json sequence = {{"type", "Sequence"}};
  sequence[std::string(list)] = std::move(stages);
  return sequence;
}

Json ReplaceStage(std::string_view from, std::string_view to, bool is_regex = false) {
  return {
      {"type", "Replace"}, {"pattern", {{is_regex ? "Regex" : "String", from}}}, {"content", to}};
}

Json SplitStage(std::string_view pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
}

// Loads `file` and encodes `text` in it. The error, if there is one; fails if it takes much memory.
std::optional<Error> Try(const Json& file, const std::string& text = "a") {
  std::optional<Error> error;
  try {
    LoadTokenizerJson(DumpJson(file), "evil/tokenizer.json")->Encode(text, true);
  } catch (const Error& thrown) {
    error = thrown;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 1 << 20) << "KiB";
  return error;
}

void ExpectExhausted(const std::optional<Error>& error, std::string_view place) {
  ASSERT_TRUE(error) << "accepted; expected " << place;
  EXPECT_EQ(error->code(), ErrorCode::kExhausted) << error->message();
  EXPECT_THAT(error->message(), HasSubstr("evil/tokenizer.json"));
  EXPECT_THAT(error->message(), HasSubstr(std::string(place)));
}

TEST(TokenizerBounds, StagesThatDouble) {
  const std::string text = Repeated("e", 1 << 20);
  Json file = BaseFile();
  file["normalizer"] = Stages("normalizers", ReplaceStage("e", "ee"), 40);
  ExpectExhausted(Try(file, text), "normalizers[4]");
  ExpectExhausted(Try(file, "e"), "normalizers[1");
  file["normalizer"] = Stages("normalizers", ReplaceStage("e", "ee", true), 40);
  ExpectExhausted(Try(file, text.substr(0, 1 << 16)), "normalizers[");
  file["normalizer"] =
      Stages("normalizers", {{"type", "Prepend"}, {"prepend", Repeated("p", 60'000)}}, 60);
  ExpectExhausted(Try(file, "e"), "normalizers[");
  file = BaseFile();
  file["pre_tokenizer"] =
      Stages("pretokenizers",
             {{"type", "Metaspace"}, {"replacement", "  "}, {"prepend_scheme", "never"}}, 40);
  ExpectExhausted(Try(file, Repeated(" ", 1 << 20)), "pretokenizers[3]");
  file = BaseFile();
  file["decoder"] = Stages("decoders", ReplaceStage("e", "ee"), 40);
  ExpectExhausted(Try(file), "decoders[");
  file["decoder"] = Stages("decoders", ReplaceStage("e", "ee", true), 40);
  ExpectExhausted(Try(file), "decoders[");
  file = BaseFile();
  file["normalizer"] = Stages("normalizers", ReplaceStage("e", "ee"), 40);
  file["added_tokens"].push_back({{"id", 4}, {"content", "ee"}, {"normalized", true}});
  ExpectExhausted(Try(file), "normalizers[");
}

TEST(TokenizerBounds, PatternsThatSearchForEver) {
  const std::string text = Repeated("x", 4096);
  for (const char* pattern : {"(?:x|x)*[yz]", "(x+x+)+y", "(?<=x)(?=x*z)|q", "(?:x?){30}x{30}z"}) {
    SCOPED_TRACE(pattern);
    Json file = BaseFile();
    file["pre_tokenizer"] = SplitStage(pattern);
    std::optional<Error> error = Try(file, text);
    if (error) {
      EXPECT_THAT(error->message(), HasSubstr("evil/tokenizer.json.pre_tokenizer"));
    }
    file = BaseFile();
    file["normalizer"] = ReplaceStage(pattern, "-", true);
    Try(file, text);
    // Over all tokens at a load.
    file = BaseFile();
    for (int i = 0; i < 2; ++i) {
      file["model"]["vocab"][std::to_string(i) + text] = 10 + i;
    }
    file["decoder"] = Stages("decoders", ReplaceStage(pattern, "-", true), 1);
    error = Try(file);
    if (error) {
      EXPECT_THAT(error->message(), HasSubstr("evil/tokenizer.json.decoder"));
    }
  }
}

// Patterns that go over the text again from each of its places end within the budget, whatever form
// their search takes inside of PCRE2.
TEST(TokenizerBounds, PatternsThatLookAtAllOfALongText) {
  const std::string plain = Repeated("x", 1 << 16);
  const std::string blocks = Repeated(Repeated("x", 5'999) + "z", 11);
  for (const char* pattern :
       {"(?:x|x)*[yz]y", "(x+x+)+y", "(?<=x)(?=x*y)|q", "(?:x?){30}x{30}y", "x*y", "(?:.*)y",
        "(?=.*y)x|q", "(x|xx)+y", "[\\s\\S]*?y", "x{60000}y", "(?=x{60000}y)q|zz", "(x+)\\1y",
        "(?:x{3,60000}){2}y", "(?R)?y|xx(?R)?q"}) {
    for (const std::string& text : {plain, blocks}) {
      SCOPED_TRACE(fmt::format("{} in {} bytes", pattern, text.size()));
      const Regex regex(pattern, "p");
      WorkBudget budget(text.size(), "p");
      RegexMatches found(regex, text, &budget);
      const std::clock_t begin = std::clock();
      size_t from = 0;
      size_t to = 0;
      EXPECT_THROW(while (found.Next(&from, &to)){}, Error);
      EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 30);  // sanitizers make it slow
    }
  }
}

// Long words of one kind are no attack: each published pattern takes a megabyte of them.
TEST(TokenizerBounds, PublishedPatternsTakeLongWords) {
  const char* const patterns[] = {
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"
      "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
      "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      " ?[^(\\s|[.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c}])]+"};
  for (const char* pattern : patterns) {
    for (const char* unit :
         {" ", "A", "a", "aB", "7", "=", "\n", " \n", "\xE4\xB8\xAD", "a ", "  a"}) {
      SCOPED_TRACE(fmt::format("{} in many '{}'", pattern, unit));
      const std::string text = Repeated(unit, (1 << 20) / std::string_view(unit).size());
      const Regex regex(pattern, "p");
      WorkBudget budget(text.size(), "p");
      RegexMatches found(regex, text, &budget);
      size_t from = 0;
      size_t to = 0;
      EXPECT_NO_THROW(while (found.Next(&from, &to)){});
    }
  }
}

// A search sees a part of the text only; what it finds is the same.
TEST(TokenizerBounds, LongMatchesAreFoundWhole) {
  const auto matches = [](std::string_view pattern, const std::string& text) {
    const Regex regex(pattern, "p");
    WorkBudget budget(text.size(), "p");
    RegexMatches found(regex, text, &budget);
    std::vector<std::pair<size_t, size_t>> out;
    for (size_t begin = 0, end = 0; found.Next(&begin, &end);) out.push_back({begin, end});
    return out;
  };
  using Found = std::vector<std::pair<size_t, size_t>>;
  const std::string as = Repeated("a", 5000);
  const std::string es = Repeated("\xC3\xA9", 5000);
  EXPECT_EQ(matches("a+", as), (Found{{0, 5000}}));
  EXPECT_EQ(matches("a+b|c", as + "b"), (Found{{0, 5001}}));
  EXPECT_EQ(matches("a+?$", as), (Found{{0, 5000}}));
  EXPECT_EQ(matches("b", as + "b" + as), (Found{{5000, 5001}}));
  EXPECT_EQ(matches("\\bb", as + " b" + as), (Found{{5001, 5002}}));
  EXPECT_EQ(matches("(?<=a{100})b", as + "b"), (Found{{5000, 5001}}));
  EXPECT_EQ(matches("a(?=a*b)", "xaab" + es), (Found{{1, 2}, {2, 3}}));
  EXPECT_EQ(matches("a{64}|a{63}", std::string(as, 0, 200)),
            (Found{{0, 64}, {64, 128}, {128, 192}}));
  EXPECT_EQ(matches("\\s+(?!\\S)|\\s+", Repeated(" ", 100) + "x"), (Found{{0, 99}, {99, 100}}));
  EXPECT_EQ(matches("\xC3\xA9+", es), (Found{{0, 10'000}}));
  EXPECT_EQ(matches("[^a]+", Repeated("a\xC3\xA9", 100)).size(), 100u);
  EXPECT_EQ(matches("x*", as), Found{});
  EXPECT_EQ(matches("^a|a$", as), (Found{{0, 1}, {4999, 5000}}));
}

// A thousand marks after one letter mean what they mean in order; a million are ordered quickly.
TEST(TokenizerBounds, RunsOfMarksAreOrderedQuickly) {
  Normalizer nfc;
  nfc.Add(Normalizer::Unicode{Normalizer::Form::kNfc}, "n");
  const auto apply = [&](std::string text) {
    WorkBudget budget(text.size(), "n");
    nfc.Apply(&text, &budget);
    return text;
  };
  const std::string marks = "\xCC\x81\xCC\x96\xCC\xA7";  // of classes 230, 220 and 202
  for (const size_t times : {1, 10, 11, 12, 400}) {
    const std::string text = "x\xC3\xA9" + Repeated(marks, times) + "e" + Repeated(marks, times);
    utf8proc_uint8_t* expected =
        utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
    EXPECT_EQ(apply(text), reinterpret_cast<const char*>(expected)) << times;
    std::free(expected);
  }
  const std::clock_t begin = std::clock();
  apply("e" + Repeated(marks, 300'000));
  EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 5);
}

TEST(TokenizerBounds, AddedTokensThatAlmostMatch) {
  Json file = BaseFile();
  for (int i = 0; i < 200; ++i) {
    const std::string tail(1, static_cast<char>('A' + i % 26));
    file["added_tokens"].push_back(
        {{"id", 4 + i}, {"content", Repeated("a", 1000 - i) + tail}, {"special", true}});
  }
  const std::optional<Error> error = Try(file, Repeated("a", 1 << 18));
  if (error) {
    EXPECT_EQ(error->code(), ErrorCode::kExhausted);
  }
  file = BaseFile();
  file["normalizer"] = ReplaceStage("e", Repeated("e", 100'000));
  for (int i = 0; i < 10; ++i) {
    file["added_tokens"].push_back(
        {{"id", 4 + i}, {"content", Repeated("e", 9) + std::to_string(i)}, {"normalized", true}});
  }
  ExpectExhausted(Try(file), "normalizer");
}

TEST(TokenizerBounds, KeysMadeToCollide) {
  const size_t num_merges = 1 << 16;
  MergeTable table(num_merges);
  const uint64_t mask = std::bit_ceil(num_merges + num_merges / 3 + 8) - 1;
  uint32_t rank = 0;
  try {
    for (uint64_t pair = 1; rank <= 2 * kProbesMax; ++pair) {
      const uint64_t mixed = pair * 0x9E3779B97F4A7C15u;
      if (((mixed ^ mixed >> 32) & mask) != 0) continue;
      table.Insert(static_cast<int32_t>(pair >> 32), static_cast<int32_t>(pair), {rank++, 1});
    }
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_EQ(rank, kProbesMax + 2);  // the table holds so many and one more
  }
}

TEST(TokenizerBounds, WorkBudgetToTheUnit) {
  for (const size_t size : {size_t{0}, size_t{10}}) {
    const uint64_t one_stage = kOneStageBytesPerByteMax * size + kStageBytesSlack;
    const uint64_t all_stages = kStageBytesPerByteMax * size + kStageBytesSlack;
    WorkBudget stage(size, "p");
    stage.Write(one_stage);
    EXPECT_THROW(stage.Write(1), Error);
    WorkBudget all(size, "p");
    for (uint64_t left = all_stages; left > 0;) {
      all.BeginStage("q");
      const uint64_t part = std::min(left, one_stage);
      all.Write(part);
      left -= part;
    }
    all.BeginStage("q");
    EXPECT_THROW(all.Write(1), Error);
    WorkBudget looks(size, "p");
    looks.Look(kSearchLooksPerByteMax * size + kSearchLooksSlack);
    EXPECT_THROW(looks.Look(1), Error);
  }
}

// `make(n)` is taken for n up to `bound`, and refused beyond.
void ExpectBound(size_t bound, const std::function<std::optional<Error>(size_t)>& make) {
  for (const size_t size : {bound - 1, bound, bound + 1}) {
    const std::optional<Error> error = make(size);
    EXPECT_EQ(error.has_value(), size > bound) << size << (error ? error->message() : "");
    if (error) {
      EXPECT_THAT(error->message(), HasSubstr("evil/tokenizer.json"));
    }
  }
}

TEST(TokenizerBounds, NamedBoundsOfAFile) {
  const auto with = [](const std::function<void(Json*)>& change) {
    Json file = BaseFile();
    change(&file);
    return Try(file);
  };
  const auto stages = static_cast<size_t>(kTokenizerStagesMax);
  ExpectBound(stages, [&](size_t n) {
    return with([&](Json* f) {
      (*f)["normalizer"] = Stages("normalizers", {{"type", "Lowercase"}}, n);
    });
  });
  ExpectBound(stages, [&](size_t n) {
    return with([&](Json* f) {
      (*f)["pre_tokenizer"] = Stages("pretokenizers", {{"type", "WhitespaceSplit"}}, n);
    });
  });
  ExpectBound(stages, [&](size_t n) {
    return with([&](Json* f) {
      (*f)["decoder"] = Stages("decoders", {{"type", "ByteFallback"}}, n);
    });
  });
  ExpectBound(stages - 1, [&](size_t n) {  // the sequence is one of them
    return with([&](Json* f) {
      (*f)["post_processor"] = Stages("processors", {{"type", "ByteLevel"}}, n);
    });
  });
  ExpectBound(kTokenBytesMax, [&](size_t n) {
    return with([&](Json* f) { (*f)["model"]["vocab"][Repeated("v", n)] = 4; });
  });
  ExpectBound(kAddedTokenBytesMax, [&](size_t n) {
    return with([&](Json* f) {
      (*f)["added_tokens"].push_back({{"id", 4}, {"content", Repeated("v", n)}});
    });
  });
  // Four tokens and this one; ids are counted from 0.
  ExpectBound(kIdsPerTokenMax * 5 + kFreeIdsMax - 1,
              [&](size_t n) { return with([&](Json* f) { (*f)["model"]["vocab"]["far"] = n; }); });
  ExpectBound(kSurroundTokensMax, [&](size_t n) {
    return with([&](Json* f) {
      Json item = {{"SpecialToken", {{"id", "s"}}}};
      (*f)["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", Json::array({item})},
                                {"special_tokens", {{"s", {{"ids", std::vector<int>(n, 1)}}}}}};
    });
  });
  ExpectBound(kSurroundTokensMax, [&](size_t n) {
    return with([&](Json* f) {
      const Json item = {{"SpecialToken", {{"id", "s"}}}};
      (*f)["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", std::vector<Json>(n, item)},
                                {"special_tokens", {{"s", {{"ids", {1}}}}}}};
    });
  });
  ExpectBound(1024, [&](size_t n) {
    return with([&](Json* f) {
      Json list = Json::array({{{"type", "Fuse"}}});
      for (const size_t start : {size_t{1000}, n - 1000}) {
        list.push_back({{"type", "Strip"}, {"content", " "}, {"start", start}, {"stop", 0}});
      }
      (*f)["decoder"] = {{"type", "Sequence"}, {"decoders", list}};
    });
  });
  // Two patterns.
  ExpectBound(kPatternsBytesMax, [&](size_t n) {
    return with([&](Json* f) {
      (*f)["normalizer"] = ReplaceStage("(?#" + Repeated("c", 1000 - 4) + ")", "", true);
      (*f)["decoder"] = ReplaceStage("(?#" + Repeated("c", n - 1000 - 4) + ")", "", true);
    });
  });
}

TEST(TokenizerBounds, NamedBoundsOfAVocabulary) {
  const std::string text(kTokenBytesMax, 'x');
  const auto build = [&](const std::function<void(VocabularyBuilder*)>& fill) {
    std::optional<Error> error;
    try {
      VocabularyBuilder builder("evil/tokenizer.json");
      fill(&builder);
    } catch (const Error& thrown) {
      error = thrown;
    }
    return error;
  };
  ExpectBound(kVocabBytesMax, [&](size_t n) {
    return build([&](VocabularyBuilder* builder) {
      int64_t id = 0;
      for (size_t left = n; left > 0; ++id) {
        const size_t part = std::min(left, kTokenBytesMax);
        builder->Add(id, std::string_view(text).substr(0, part), VocabularyBuilder::Kind::kNormal);
        left -= part;
      }
    });
  });
  ExpectBound(kVocabSizeMax - 1, [&](size_t n) {
    return build([&](VocabularyBuilder* builder) {
      builder->Add(static_cast<int64_t>(n), "x", VocabularyBuilder::Kind::kNormal);
    });
  });
  const auto add = [](VocabularyBuilder* builder, size_t id, std::string content) {
    AddedToken token;
    token.content = std::move(content);
    builder->AddToken(static_cast<int64_t>(id), std::move(token));
  };
  ExpectBound(kAddedTokensMax, [&](size_t n) {
    return build([&](VocabularyBuilder* builder) {
      for (size_t id = 0; id < n; ++id) add(builder, id, "x");
    });
  });
  ExpectBound(kAddedTokensBytesMax, [&](size_t n) {
    return build([&](VocabularyBuilder* builder) {
      size_t id = 0;
      for (size_t left = n; left > 0; ++id) {
        const size_t part = std::min(left, kAddedTokenBytesMax);
        add(builder, id, std::string(part, 'x'));
        left -= part;
      }
    });
  });
  ExpectBound(kMergesMax, [&](size_t n) {
    return build([&](VocabularyBuilder* builder) {
      builder->Finish({});
      builder->MakeModel(BpeModel::Unit::kByte, BpeModel::MergeBy::kPair,
                         VocabularyBuilder::Spelling::kPlain, n);
    });
  });
}

}  // namespace
}  // namespace retort
