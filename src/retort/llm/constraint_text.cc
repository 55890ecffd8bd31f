#include "retort/llm/constraint_text.h"

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/grammar/grammar.h"

namespace retort {
namespace {

JsonSchemaOptions OptionsOf(const ConstraintText& constraint) {
  using Order = JsonSchemaOptions::PropertyOrder;
  using Format = JsonSchemaOptions::Format;
  JsonSchemaOptions options;
  options.property_order = constraint.any_property_order ? Order::kAny : Order::kDeclared;
  options.numbers = JsonSchemaOptions::Numbers::kCanonical;
  options.format = constraint.formats_are_annotations ? Format::kAnnotation : Format::kAssert;
  return options;
}

std::shared_ptr<const ConstraintText> OfText(ConstraintText::Kind kind, std::string text) {
  ConstraintText constraint;
  constraint.kind = kind;
  constraint.text = std::move(text);
  return std::make_shared<const ConstraintText>(std::move(constraint));
}

}  // namespace

std::shared_ptr<const ConstraintText> JsonSchemaConstraint(std::string schema) {
  return OfText(ConstraintText::Kind::kJsonSchema, std::move(schema));
}

std::shared_ptr<const ConstraintText> RegexConstraint(std::string pattern) {
  return OfText(ConstraintText::Kind::kRegex, std::move(pattern));
}

std::shared_ptr<const ConstraintText> GbnfConstraint(std::string grammar) {
  return OfText(ConstraintText::Kind::kGbnf, std::move(grammar));
}

std::shared_ptr<const ConstraintText> LarkConstraint(std::string grammar) {
  return OfText(ConstraintText::Kind::kLark, std::move(grammar));
}

std::shared_ptr<const ConstraintText> ChoiceConstraint(std::vector<std::string> choices) {
  ConstraintText constraint;
  constraint.kind = ConstraintText::Kind::kChoice;
  constraint.choices = std::move(choices);
  return std::make_shared<const ConstraintText>(std::move(constraint));
}

std::string ConstraintKey(const ConstraintText& constraint) {
  Sha256 digest;
  digest.Field("constraint")
      .Field(kConstraintVersion)
      .Field(static_cast<uint64_t>(constraint.kind))
      .Field(constraint.text)
      .Field(static_cast<uint64_t>(constraint.choices.size()));
  for (const std::string& choice : constraint.choices) digest.Field(choice);
  digest.Field(uint64_t{constraint.any_property_order})
      .Field(uint64_t{constraint.formats_are_annotations});
  return digest.Hex();
}

std::shared_ptr<const Grammar> CompileConstraint(const ConstraintText& constraint) {
  switch (constraint.kind) {
    case ConstraintText::Kind::kJsonSchema:
      return CompileJsonSchema(constraint.text, OptionsOf(constraint));
    case ConstraintText::Kind::kRegex:
      return CompileRegex(constraint.text);
    case ConstraintText::Kind::kGbnf:
      return CompileGbnf(constraint.text);
    case ConstraintText::Kind::kLark:
      return CompileLark(constraint.text, OptionsOf(constraint));
    case ConstraintText::Kind::kChoice:
      return CompileChoice(constraint.choices);
  }
  Throw(ErrorCode::kInternal, "a constraint of no kind");
}

}  // namespace retort
