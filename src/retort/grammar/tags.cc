// Free text in which a trigger opens a part with a grammar of its own: tool calls.
#include <algorithm>
#include <map>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/grammar/cfg_builder.h"
#include "retort/grammar/utf8_text.h"

namespace retort {
namespace grammar {
namespace {

std::u32string Checked(const std::string& text, size_t tag, std::string_view what) {
  std::u32string decoded = DecodeUtf8(text);
  if (EncodeUtf8(decoded) != text)
    Throw(ErrorCode::kInvalid, "tags[{}]: {} is not UTF-8", tag, what);
  return decoded;
}

CfgExpr Language(Regex regex) {
  CfgExpr expr;
  expr.kind = CfgExpr::Kind::kRegex;
  expr.regex = regex;
  return expr;
}

CfgExpr Reference(const char* name) {
  CfgExpr expr;
  expr.kind = CfgExpr::Kind::kRef;
  expr.name = name;
  return expr;
}

}  // namespace
}  // namespace grammar

std::shared_ptr<const Grammar> CompileTags(const std::vector<Tag>& tags,
                                           const TagOptions& options) {
  using grammar::CfgExpr;
  if (tags.empty()) Throw(ErrorCode::kInvalid, "tags: at least one expected");
  grammar::CfgBuilder builder("", "tags", options.limits);
  grammar::RegexPool& pool = builder.pool();
  Sha256 digest;
  digest.Field("tags")
      .Field(static_cast<uint64_t>(options.least))
      .Field(static_cast<uint64_t>(options.most))
      .Field(static_cast<uint64_t>(options.text_after));
  std::map<std::u32string, CfgExpr> calls;  // by trigger: what follows it
  for (size_t i = 0; i < tags.size(); ++i) {
    const Tag& tag = tags[i];
    if (tag.trigger.empty() || !tag.begin.starts_with(tag.trigger)) {
      Throw(ErrorCode::kInvalid, "tags[{}]: its text '{}' must begin with its trigger '{}'", i,
            tag.begin, tag.trigger);
    }
    if (tag.body == nullptr) Throw(ErrorCode::kInvalid, "tags[{}]: no grammar of its body", i);
    digest.Field(tag.trigger).Field(tag.begin).Field(tag.body->digest()).Field(tag.end);
    const std::u32string trigger = grammar::Checked(tag.trigger, i, "the trigger");
    const std::u32string begin = grammar::Checked(tag.begin, i, "the beginning");
    CfgExpr body;
    body.kind = CfgExpr::Kind::kGrammar;
    body.grammar = tag.body;
    CfgExpr call;
    call.parts = {
        grammar::Language(pool.Literal(std::u32string_view(begin).substr(trigger.size()))),
        std::move(body), grammar::Language(pool.Literal(grammar::Checked(tag.end, i, "the end")))};
    CfgExpr& choice = calls[trigger];
    choice.kind = CfgExpr::Kind::kChoice;
    choice.parts.push_back(std::move(call));
  }
  std::vector<grammar::Regex> triggers;
  for (const auto& [trigger, call] : calls) triggers.push_back(pool.Literal(trigger));
  const grammar::Regex any = pool.Set(grammar::CodePointSet::Any());
  const grammar::Regex seen =
      pool.Cat({grammar::kEverything, pool.Or(triggers), grammar::kEverything});
  const grammar::Regex seen_before = pool.Cat(seen, any);
  CfgExpr one;
  one.kind = CfgExpr::Kind::kChoice;
  for (auto& [trigger, call] : calls) {
    if (pool.Matches(seen_before, trigger)) {
      Throw(ErrorCode::kInvalid, "tags: trigger '{}' is never completed: another comes first in it",
            grammar::EncodeUtf8(trigger));
    }
    // Up to the first trigger, and with it.
    CfgExpr part;
    part.parts = {grammar::Language(pool.And(pool.Cat(grammar::kEverything, pool.Literal(trigger)),
                                             pool.Not(seen_before))),
                  std::move(call)};
    one.parts.push_back(std::move(part));
  }
  builder.Add("call", std::move(one), 0);
  if (options.least > options.most) {
    Throw(ErrorCode::kInvalid, "tags: at least {} calls and at most {}", options.least,
          options.most);
  }
  CfgExpr repeat;
  repeat.kind = CfgExpr::Kind::kRepeat;
  repeat.min = options.text_after ? options.least : std::max(options.least, 1u);
  repeat.max = options.most;
  repeat.parts.push_back(grammar::Reference("call"));
  const CfgExpr free = grammar::Language(pool.Not(seen));
  CfgExpr root;
  if (options.text_after) {
    root.parts = {std::move(repeat), free};
  } else {
    root.kind = CfgExpr::Kind::kChoice;
    if (options.most > 0) root.parts.push_back(std::move(repeat));
    if (options.least == 0) root.parts.push_back(free);
  }
  builder.Add("root", std::move(root), 0);
  return builder.Build("root", digest.Hex());
}

}  // namespace retort
