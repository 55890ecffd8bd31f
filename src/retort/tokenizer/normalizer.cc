#include "retort/tokenizer/normalizer.h"

#include <string.h>  // memmem
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "retort/base/error.h"
#include "retort/tokenizer/utf8.h"

namespace retort {
namespace {

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<int8_t>(c) >= 0; });
}

std::string UnicodeForm(const std::string& text, Normalizer::Form form) {
  using Form = Normalizer::Form;
  int options = UTF8PROC_STABLE;
  options |= form == Form::kNfc || form == Form::kNfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == Form::kNfkc || form == Form::kNfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                             static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0) {
    Throw(size == UTF8PROC_ERROR_NOMEM ? ErrorCode::kExhausted : ErrorCode::kInternal,
          "Unicode normalisation of {} bytes: {}", text.size(), utf8proc_errmsg(size));
  }
  return std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
}

// Calls visit(code point, its bytes) for each character of valid text.
template <typename Visit>
void ForEachCharacter(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    visit(step.code_point, text.substr(0, step.num_bytes));
    text.remove_prefix(step.num_bytes);
  }
}

// utf8proc brings the marks after a letter into order by exchanging neighbours, which is quadratic
// in how many they are. A run of marks means the same in any order that keeps those of one class in
// theirs, so that long runs can be put into order beforehand.
void SortLongRunsOfMarks(std::string* text) {
  constexpr size_t kShortRunMax = 32;
  struct Mark {
    uint8_t combining_class;
    std::string_view bytes;
  };
  std::vector<Mark> run;
  std::string out;
  size_t done = 0;  // of the text, that is in `out`
  size_t at = 0;
  const auto end_run = [&](size_t begin) {
    if (run.size() > kShortRunMax) {
      std::stable_sort(run.begin(), run.end(), [](const Mark& a, const Mark& b) {
        return a.combining_class < b.combining_class;
      });
      out.append(*text, done, begin - done);
      for (const Mark& mark : run) out += mark.bytes;
      done = at;
    }
    run.clear();
  };
  size_t run_begin = 0;
  ForEachCharacter(*text, [&](char32_t c, std::string_view bytes) {
    const auto combining_class = static_cast<uint8_t>(
        c < 0x300 ? 0 : utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class);
    if (combining_class == 0) {
      end_run(run_begin);
      run_begin = at + bytes.size();
    } else {
      run.push_back({combining_class, bytes});
    }
    at += bytes.size();
  });
  end_run(run_begin);
  if (done == 0) return;
  out.append(*text, done);
  *text = std::move(out);
}

struct Applier {
  std::string* text;
  WorkBudget* budget;

  void operator()(const Normalizer::Unicode& stage) const {
    if (IsAscii(*text)) return;
    SortLongRunsOfMarks(text);
    *text = UnicodeForm(*text, stage.form);
    budget->Write(text->size());
  }
  void operator()(const Normalizer::Lowercase&) const {
    budget->Write(text->size());
    std::string out;
    out.reserve(text->size());
    ForEachCharacter(*text, [&](char32_t c, std::string_view) {
      if (c == 0x130) {  // the one character whose full lower case is longer than its simple one
        out += "i\xCC\x87";
      } else {
        AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), &out);
      }
    });
    *text = std::move(out);
  }
  void operator()(const Normalizer::StripAccents&) const {
    budget->Write(text->size());
    std::string out;
    out.reserve(text->size());
    ForEachCharacter(*text, [&](char32_t c, std::string_view bytes) {
      if (utf8proc_category(static_cast<utf8proc_int32_t>(c)) != UTF8PROC_CATEGORY_MN) {
        out += bytes;
      }
    });
    *text = std::move(out);
  }
  void operator()(const Normalizer::Strip& stage) const {
    size_t first = text->size();  // of the characters that are no spaces
    size_t last_end = 0;
    size_t at = 0;
    ForEachCharacter(*text, [&](char32_t c, std::string_view bytes) {
      if (!IsSpaceCodePoint(c)) {
        first = std::min(first, at);
        last_end = at + bytes.size();
      }
      at += bytes.size();
    });
    if (stage.right) text->resize(std::max(last_end, stage.left ? size_t{0} : last_end));
    if (stage.left) text->erase(0, std::min(first, text->size()));
  }
  void operator()(const Normalizer::Prepend& stage) const {
    if (text->empty()) return;
    budget->Write(stage.text.size() + text->size());
    text->insert(0, stage.text);
  }
  void operator()(const Normalizer::ReplaceText& stage) const {
    *text = ReplaceAll(*text, stage.from, stage.to, budget);
  }
  void operator()(const Normalizer::ReplaceMatches& stage) const {
    std::string out;
    size_t done = 0, begin = 0, end = 0;
    RegexMatches matches(stage.from, *text, budget);
    while (matches.Next(&begin, &end)) {
      budget->Write(begin - done + stage.to.size());
      out.append(*text, done, begin - done);
      out += stage.to;
      done = end;
    }
    out.append(*text, done);
    *text = std::move(out);
  }
};

}  // namespace

void Normalizer::Apply(std::string* text, WorkBudget* budget) const {
  for (const Entry& entry : stages_) {
    budget->BeginStage(entry.where);
    std::visit(Applier{text, budget}, entry.stage);
  }
}

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to,
                       WorkBudget* budget) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  while (true) {
    // Two-way search in the C library: linear, whatever is looked for.
    const void* found = memmem(text.data(), text.size(), from.data(), from.size());
    if (found == nullptr) break;
    const auto at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    budget->Write(at + to.size());
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
  }
  budget->Write(text.size());
  out += text;
  return out;
}

}  // namespace retort
