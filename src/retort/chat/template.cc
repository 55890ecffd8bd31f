#include "retort/chat/template.h"

#include "retort/chat/interpreter.h"
#include "retort/chat/parser.h"

namespace retort {

Template::Template(std::shared_ptr<const jinja::Program> program) : program_(std::move(program)) {}

Template Template::Parse(std::string_view source, std::string_view origin,
                         const TemplateOptions& options) {
  return Template(jinja::ParseProgram(source, origin, options));
}

std::vector<Span> Template::Render(const Json& context, const RenderOptions& options) const {
  return jinja::RenderProgram(*program_, context, options).ToSpans();
}

const std::vector<std::string>& Template::free_names() const { return program_->free_names; }

}  // namespace retort
