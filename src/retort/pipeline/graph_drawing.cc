#include "retort/pipeline/graph.h"

namespace retort {
namespace {

std::string Escaped(std::string_view text, std::string_view quote, std::string_view backslash) {
  std::string result;
  for (const char c : text) {
    if (c == '"') {
      result += quote;
    } else if (c == '\\') {
      result += backslash;
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      result += c;
    }
  }
  return result;
}

std::string ForMermaid(std::string_view text) { return Escaped(text, "#quot;", "\\"); }
std::string ForDot(std::string_view text) { return Escaped(text, "\\\"", "\\\\"); }

// What surrounds a node's label: sources, steps that see all rows, joins and others look different.
struct Shape {
  std::string_view mermaid_open;
  std::string_view mermaid_close;
  std::string_view dot;
};

Shape ShapeOf(StepKind kind) {
  switch (kind) {
    case StepKind::kSource:
      return {"([", "])", "oval"};
    case StepKind::kGlobal:
      return {"[[", "]]", "box3d"};
    case StepKind::kJoin:
      return {"{{", "}}", "hexagon"};
    case StepKind::kRow:
    case StepKind::kRows:
      return {"[", "]", "box"};
  }
  return {"[", "]", "box"};
}

}  // namespace

std::string ToMermaid(const Graph& graph) {
  std::string text = "flowchart TD\n";
  for (size_t i = 0; i < graph.steps.size(); ++i) {
    const GraphStep& step = graph.steps[i];
    const Shape shape = ShapeOf(step.kind());
    text += fmt::format("  s{}{}\"{}<br/>{}\"{}\n", i, shape.mermaid_open, ForMermaid(step.name()),
                        ForMermaid(step.type->name), shape.mermaid_close);
  }
  const std::vector<std::string> models = graph.UsedModels();
  for (size_t m = 0; m < models.size(); ++m) {
    text += fmt::format("  m{}[(\"{}\")]\n", m, ForMermaid(models[m]));
  }
  for (size_t i = 0; i < graph.steps.size(); ++i) {
    for (const size_t next : graph.steps[i].next) text += fmt::format("  s{} --> s{}\n", i, next);
  }
  for (size_t m = 0; m < models.size(); ++m) {
    for (size_t i = 0; i < graph.steps.size(); ++i) {
      if (graph.steps[i].config.llm == models[m]) text += fmt::format("  m{} -.- s{}\n", m, i);
    }
  }
  return text;
}

std::string ToDot(const Graph& graph) {
  std::string text = fmt::format("digraph \"{}\" {{\n  rankdir=TB;\n", ForDot(graph.config.name));
  for (size_t i = 0; i < graph.steps.size(); ++i) {
    const GraphStep& step = graph.steps[i];
    text += fmt::format("  s{} [shape={}, label=\"{}\\n{}\"];\n", i, ShapeOf(step.kind()).dot,
                        ForDot(step.name()), ForDot(step.type->name));
  }
  const std::vector<std::string> models = graph.UsedModels();
  for (size_t m = 0; m < models.size(); ++m) {
    text += fmt::format("  m{} [shape=cylinder, label=\"{}\"];\n", m, ForDot(models[m]));
  }
  for (size_t i = 0; i < graph.steps.size(); ++i) {
    for (const size_t next : graph.steps[i].next) text += fmt::format("  s{} -> s{};\n", i, next);
  }
  for (size_t m = 0; m < models.size(); ++m) {
    for (size_t i = 0; i < graph.steps.size(); ++i) {
      if (graph.steps[i].config.llm == models[m]) {
        text += fmt::format("  m{} -> s{} [style=dotted, arrowhead=none];\n", m, i);
      }
    }
  }
  return text + "}\n";
}

}  // namespace retort
