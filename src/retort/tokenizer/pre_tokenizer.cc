#include "retort/tokenizer/pre_tokenizer.h"

#include <string.h>  // memmem

#include <algorithm>

#include "retort/tokenizer/normalizer.h"

namespace retort {
namespace {

using Word = PreTokenizer::Word;
using Behavior = PreTokenizer::Behavior;

// A piece of a word being split, and whether the pattern matched it.
struct Part {
  Word range;
  bool matched;
};

void Join(Behavior behavior, const std::vector<Part>& parts, std::vector<Word>* out) {
  const auto first = static_cast<std::ptrdiff_t>(out->size());
  switch (behavior) {
    case Behavior::kIsolated:
      for (const Part& part : parts) out->push_back(part.range);
      break;
    case Behavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.matched) out->push_back(part.range);
      }
      break;
    case Behavior::kContiguous:
      for (size_t i = 0; i < parts.size(); ++i) {
        if (i > 0 && parts[i].matched == parts[i - 1].matched) {
          out->back().second = parts[i].range.second;
        } else {
          out->push_back(parts[i].range);
        }
      }
      break;
    case Behavior::kMergedWithPrevious:
      for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i].matched && i > 0 && !parts[i - 1].matched) {
          out->back().second = parts[i].range.second;
        } else {
          out->push_back(parts[i].range);
        }
      }
      break;
    case Behavior::kMergedWithNext:
      for (size_t i = parts.size(); i-- > 0;) {
        if (parts[i].matched && i + 1 < parts.size() && !parts[i + 1].matched) {
          out->back().first = parts[i].range.first;
        } else {
          out->push_back(parts[i].range);
        }
      }
      std::reverse(out->begin() + first, out->end());
      break;
  }
}

void ApplySplit(const PreTokenizer::Split& stage, const std::string& text, std::vector<Word>* words,
                WorkBudget* budget) {
  std::vector<Word> out;
  std::vector<Part> parts;
  for (const Word& word : *words) {
    parts.clear();
    const size_t size = word.second - word.first;
    size_t done = 0, begin = 0, end = 0;
    RegexMatches matches(stage.pattern, std::string_view(text).substr(word.first, size), budget);
    const auto put = [&](size_t from, size_t to, bool matched) {
      if (from < to) parts.push_back({{word.first + from, word.first + to}, matched});
    };
    while (matches.Next(&begin, &end)) {
      put(done, begin, stage.invert);
      put(begin, end, !stage.invert);
      done = end;
    }
    put(done, size, stage.invert);
    Join(stage.behavior, parts, &out);
  }
  *words = std::move(out);
}

// Rebuilds the text word by word: rewrite(word, its index) -> what to put in its place.
template <typename Rewrite>
void RewriteWords(std::string* text, std::vector<Word>* words, WorkBudget* budget,
                  Rewrite rewrite) {
  std::string out;
  out.reserve(text->size() + words->size());
  for (size_t i = 0; i < words->size(); ++i) {
    Word& word = (*words)[i];
    const size_t begin = out.size();
    rewrite(std::string_view(*text).substr(word.first, word.second - word.first), i, &out);
    budget->Write(out.size() - begin);
    word = {begin, out.size()};
  }
  *text = std::move(out);
}

// Cuts each word before every `marker`.
void SplitBefore(std::string_view marker, const std::string& text, std::vector<Word>* words) {
  std::vector<Word> out;
  for (const Word& word : *words) {
    size_t begin = word.first;
    while (begin < word.second) {
      const std::string_view rest =
          std::string_view(text).substr(begin + 1, word.second - begin - 1);
      const void* found = memmem(rest.data(), rest.size(), marker.data(), marker.size());
      const size_t end = found == nullptr
                             ? word.second
                             : static_cast<size_t>(static_cast<const char*>(found) - text.data());
      out.push_back({begin, end});
      begin = end;
    }
  }
  *words = std::move(out);
}

}  // namespace

void PreTokenizer::Apply(bool at_start, std::string* text, std::vector<Word>* words,
                         WorkBudget* budget) const {
  words->clear();
  if (!text->empty()) words->push_back({0, text->size()});
  for (const auto& [stage, where] : stages_) {
    budget->BeginStage(where);
    if (const auto* split = std::get_if<Split>(&stage)) {
      ApplySplit(*split, *text, words, budget);
    } else if (std::holds_alternative<PrefixSpace>(stage)) {
      RewriteWords(text, words, budget, [](std::string_view word, size_t, std::string* out) {
        if (!word.starts_with(' ')) *out += ' ';
        *out += word;
      });
    } else {
      const auto& metaspace = std::get<Metaspace>(stage);
      RewriteWords(text, words, budget, [&](std::string_view word, size_t i, std::string* out) {
        const std::string replaced = ReplaceAll(word, " ", metaspace.replacement, budget);
        const bool wanted = metaspace.prepend == Prepend::kAlways ||
                            (metaspace.prepend == Prepend::kFirst && at_start && i == 0);
        if (wanted && !replaced.starts_with(metaspace.replacement)) *out += metaspace.replacement;
        *out += replaced;
      });
      if (metaspace.split) SplitBefore(metaspace.replacement, *text, words);
    }
  }
}

}  // namespace retort
