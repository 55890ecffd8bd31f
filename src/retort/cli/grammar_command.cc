#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"
#include "retort/base/text_file.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"
#include "retort/cli/grammar_batch.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"
#include "retort/grammar/grammar.h"
#include "retort/grammar/text_check.h"

namespace retort {
namespace {

constexpr uint64_t kInstanceBytesMax = 64u << 20;
constexpr uint64_t kBatchBytesMax = uint64_t{1} << 30;  // a file of it is read as a whole

struct GrammarOptions {
  std::string file;
  std::string kind;
  std::optional<std::string> regex;
  std::vector<std::string> choices;
  std::vector<std::string> instances;  // files, "-" is standard input
  std::vector<std::string> texts;
  std::vector<std::string> remotes;  // URI=FILE
  std::string order = "declared";
  std::string format = "assert";
  int draft = 2020;
  std::string numbers = "any";
  bool lenient = false;
  bool strict = false;
  bool json = false;
  std::string batch;
};

std::string KindOf(const GrammarOptions& options) {
  if (options.regex) return "regex";
  if (!options.choices.empty()) return "choice";
  if (!options.kind.empty()) return options.kind;
  const std::string ending = std::filesystem::path(options.file).extension();
  if (ending == ".json") return "schema";
  if (ending == ".gbnf" || ending == ".lark" || ending == ".regex") return ending.substr(1);
  Throw(ErrorCode::kInvalid,
        "{}: what it holds is told by its ending, .json, .gbnf, .lark or .regex, or by --kind",
        options.file);
}

JsonSchemaOptions SchemaOptions(const GrammarOptions& options) {
  JsonSchemaOptions schema;
  schema.lenient = options.lenient;
  schema.default_draft = options.draft;
  schema.property_order = options.order == "any" ? JsonSchemaOptions::PropertyOrder::kAny
                                                 : JsonSchemaOptions::PropertyOrder::kDeclared;
  schema.format = options.format == "annotation" ? JsonSchemaOptions::Format::kAnnotation
                                                 : JsonSchemaOptions::Format::kAssert;
  schema.numbers = options.numbers == "canonical" ? JsonSchemaOptions::Numbers::kCanonical
                                                  : JsonSchemaOptions::Numbers::kAnySpelling;
  for (const std::string& remote : options.remotes) {
    const size_t equals = remote.rfind('=');
    if (equals == std::string::npos) {
      Throw(ErrorCode::kInvalid, "--remote '{}': URI=FILE is expected", remote);
    }
    schema.remotes[remote.substr(0, equals)] =
        ReadTextFile(remote.substr(equals + 1), schema.limits.text_bytes_max);
  }
  return schema;
}

std::shared_ptr<const Grammar> Compile(const std::string& kind, const GrammarOptions& options,
                                       const std::string& text) {
  if (kind == "choice") return CompileChoice(options.choices);
  if (kind == "regex") return CompileRegex(text);
  if (kind == "gbnf") return CompileGbnf(text);
  if (kind == "lark") return CompileLark(text, SchemaOptions(options));
  return CompileJsonSchema(text, SchemaOptions(options));
}

std::string ReadText(const std::string& name, uint64_t bytes_max) {
  if (name != "-") return ReadTextFile(name, bytes_max);
  return TextOf(ReadStandardInput(bytes_max), "standard input");
}

// JSON without the blanks between its tokens.
std::string Compact(const std::string& text) {
  std::string out;
  bool inside = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!inside && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) continue;
    out += c;
    if (c == '"') inside = !inside;
    if (inside && c == '\\' && i + 1 < text.size()) out += text[++i];
  }
  return out;
}

// The end of what was read, on one line.
std::string Shown(std::string_view text, size_t num_read) {
  constexpr size_t kShownMax = 32;
  size_t begin = num_read > kShownMax ? num_read - kShownMax : 0;
  while (begin < num_read && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  std::string shown = begin > 0 ? "…" : "";
  for (const char c : text.substr(begin, num_read - begin)) {
    shown += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
  }
  return shown;
}

std::string Found(std::string_view text, size_t at) {
  if (at == text.size()) return "the end";
  if (text[at] == '\n') return "a line feed";
  if (text[at] == '\t') return "a tab";
  size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
  return fmt::format("'{}'", text.substr(at, end - at));
}

struct Place {
  size_t line = 1;
  size_t column = 1;
};

Place PlaceOf(std::string_view text, size_t offset) {
  Place place;
  for (const char c : text.substr(0, offset)) {
    place.column = c == '\n' ? 1 : place.column + ((static_cast<unsigned char>(c) & 0xC0) != 0x80);
    place.line += c == '\n' ? 1 : 0;
  }
  return place;
}

// Why a schema may reject what a validator accepts: how it is written, not what it says.
std::string Hint(const GrammarOptions& options, const std::string& schema, const Grammar& grammar,
                 const std::string& text) {
  const std::string compact = Compact(text);
  if (CheckText(grammar, compact).accepted) {
    return "its values are right: only its whitespace is not (at most a line feed and 32 spaces, "
           "before a token)";
  }
  if (options.order == "any") return "";
  JsonSchemaOptions any = SchemaOptions(options);
  any.property_order = JsonSchemaOptions::PropertyOrder::kAny;
  if (CheckText(*CompileJsonSchema(schema, any), compact).accepted) {
    return "its values are right: its properties stand in another order than the schema's (see "
           "--order)";
  }
  return "";
}

struct Report {
  Json json;
  bool print = true;
  int num_rejected = 0;
};

void CheckInstance(const GrammarOptions& options, const std::string& kind,
                   const std::string& source, const Grammar& grammar, const std::string& name,
                   const std::string& text, Report* report) {
  const TextVerdict verdict = CheckText(grammar, text);
  Json entry = {{"instance", name}, {"accepted", verdict.accepted}};
  if (verdict.accepted) {
    if (report->print) Print("{}: accepted\n", name);
    report->json["instances"].push_back(std::move(entry));
    return;
  }
  ++report->num_rejected;
  const Place place = PlaceOf(text, verdict.num_read);
  const std::string hint = kind == "schema" ? Hint(options, source, grammar, text) : "";
  if (report->print) {
    Print("{}:{}:{}: rejected: {}{} found where {} is expected\n", name, place.line, place.column,
          verdict.num_read == 0 ? "" : fmt::format("after `{}` ", Shown(text, verdict.num_read)),
          Found(text, verdict.num_read), verdict.expected);
    if (!hint.empty()) Print("  {}\n", hint);
  }
  entry["line"] = place.line;
  entry["column"] = place.column;
  entry["found"] = Found(text, verdict.num_read);
  entry["expected"] = verdict.expected;
  if (!hint.empty()) entry["hint"] = hint;
  report->json["instances"].push_back(std::move(entry));
}

void PrintList(const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  Print("  {}:\n", title);
  for (const std::string& line : lines) Print("    {}\n", line);
}

// "schema:3:14: ..." → "FILE:3:14: ...".
[[noreturn]] void Rethrow(const Error& error, const std::string& name) {
  std::string message = error.message();
  for (const std::string origin : {"schema:", "grammar:"}) {
    if (message.starts_with(origin)) message = name + message.substr(origin.size() - 1);
  }
  if (!message.starts_with(name)) message = fmt::format("{}: {}", name, message);
  throw Error(error.code(), message);
}

int CheckBatch(const GrammarOptions& options) {
  // Each answer at once: a program may ask line by line.
  const auto print = [](const std::string& line) {
    PrintResult(line);
    FlushOutput();
  };
  if (options.batch == "-") {
    CheckGrammarBatch(std::cin, print, SchemaOptions(options));
    if (std::ferror(stdin) != 0) Throw(ErrorCode::kIo, "cannot read standard input");
    return kExitDone;
  }
  std::istringstream in(ReadFile(options.batch, kBatchBytesMax));
  CheckGrammarBatch(in, print, SchemaOptions(options));
  return kExitDone;
}

int CheckGrammar(const GrammarOptions& options) {
  if (!options.batch.empty()) return CheckBatch(options);
  const int num_sources =
      (options.file.empty() ? 0 : 1) + (options.regex ? 1 : 0) + (options.choices.empty() ? 0 : 1);
  if (num_sources != 1) {
    Throw(ErrorCode::kInvalid,
          "one of FILE, --regex, --choice and --batch is expected, {} are given", num_sources);
  }
  const std::string kind = KindOf(options);
  const std::string name = options.regex              ? "--regex"
                           : !options.choices.empty() ? "--choice"
                                                      : options.file;
  std::string text = options.regex.value_or("");
  if (!options.file.empty()) text = ReadTextFile(options.file, kInstanceBytesMax);

  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::shared_ptr<const Grammar> grammar;
  try {
    grammar = Compile(kind, options, text);
  } catch (const Error& error) {
    Rethrow(error, name);
  }
  const auto& warnings = grammar->report().warnings;
  if (options.strict && !warnings.empty()) {
    Throw(ErrorCode::kInvalid, "{}: {}", name, warnings[0]);
  }
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  const GrammarSize size = SizeOf(*grammar);
  Report report;
  report.print = !options.json;
  report.json = {{"kind", kind},
                 {"compile_ms", ms},
                 {"values", size.num_values},
                 {"objects", size.num_objects},
                 {"arrays", size.num_arrays},
                 {"rules", size.num_rules},
                 {"states", size.num_languages},
                 {"bytes", size.bytes},
                 {"digest", grammar->digest()},
                 {"warnings", warnings},
                 {"annotations", grammar->report().annotations},
                 {"ignored", grammar->report().ignored},
                 {"instances", Json::array()}};
  if (report.print) {
    Print("{}: {} compiled in {:.2f} ms\n", name, kind, ms);
    if (kind == "schema") {
      Print("  became: {} values, {} objects, {} arrays, {} states, {}\n", size.num_values,
            size.num_objects, size.num_arrays, size.num_languages, FormatBytes(size.bytes));
    } else {
      Print("  became: {} rules, {} states, {}\n", size.num_rules, size.num_languages,
            FormatBytes(size.bytes));
    }
    PrintList("WARNING, constrains nothing", warnings);
    PrintList("does not constrain", grammar->report().annotations);
    PrintList("IGNORED, because lenient", grammar->report().ignored);
  }
  for (const std::string& instance : options.instances) {
    CheckInstance(options, kind, text, *grammar, instance == "-" ? "standard input" : instance,
                  ReadText(instance, kInstanceBytesMax), &report);
  }
  for (size_t i = 0; i < options.texts.size(); ++i) {
    CheckInstance(options, kind, text, *grammar, fmt::format("--text {}", i + 1), options.texts[i],
                  &report);
  }
  if (options.json) PrintResult(DumpJson(report.json) + "\n");
  return report.num_rejected > 0 ? kExitFailedRows : kExitDone;
}

}  // namespace

std::function<int()> AddGrammarCommand(CLI::App& app) {
  auto options = std::make_shared<GrammarOptions>();
  app.require_subcommand(1);
  CLI::App* check = app.add_subcommand(
      "check", "Compile a constraint and say what it became, or where and why it is refused");
  check
      ->add_option("file", options->file,
                   "A JSON Schema (.json), a GBNF (.gbnf) or Lark (.lark) grammar, or a regular "
                   "expression (.regex)")
      ->transform(IsPath());
  check->add_option("--kind", options->kind, "What FILE holds, where its ending does not tell")
      ->check(CLI::IsMember({"schema", "gbnf", "lark", "regex"}));
  check->add_option("--regex", options->regex, "A regular expression, instead of a file");
  check
      ->add_option("--choice", options->choices,
                   "A text to choose, instead of a file; repeat it for others")
      ->allow_extra_args(false);
  check
      ->add_option("--instance", options->instances,
                   "A file that the constraint should accept, '-' is standard input (a line end "
                   "that closes it does not count); may be repeated. Rejected: exit status 1")
      ->transform(IsPath())
      ->allow_extra_args(false);
  check->add_option("--text", options->texts, "As --instance, with the text itself")
      ->allow_extra_args(false);
  check->add_flag("--lenient", options->lenient,
                  "Schemas: leave out what cannot be enforced, and list it, instead of refusing");
  check->add_flag("--strict", options->strict,
                  "Schemas: keywords and formats that constrain nothing are errors");
  check
      ->add_option(
          "--numbers", options->numbers,
          "Schemas: whole and listed numbers in any spelling, or in the one that `run` and "
          "`generate` allow")
      ->check(CLI::IsMember({"any", "canonical"}))
      ->capture_default_str();
  check->add_option("--order", options->order, "Schemas: properties as declared, or in any order")
      ->check(CLI::IsMember({"declared", "any"}))
      ->capture_default_str();
  check->add_option("--format", options->format, "Schemas: what the keyword 'format' is")
      ->check(CLI::IsMember({"assert", "annotation"}))
      ->capture_default_str();
  check->add_option("--draft", options->draft, "Schemas: the draft of one without '$schema'")
      ->check(CLI::IsMember({4, 6, 7, 2019, 2020}))
      ->capture_default_str();
  check
      ->add_option("--remote", options->remotes,
                   "Schemas: URI=FILE, a schema that '$ref' may name; nothing is ever fetched")
      ->allow_extra_args(false);
  CLI::Option* batch =
      check
          ->add_option(
              "--batch", options->batch,
              "A file, '-' is standard input, of one JSON object per line instead: a "
              "'schema', 'texts' to judge, and a number of 'samples', random texts that it "
              "allows; the answers are JSON lines too")
          ->transform(IsPath());
  check->add_flag("--json", options->json, "The report as one JSON object");
  for (const char* other :
       {"file", "--kind", "--regex", "--choice", "--instance", "--text", "--json"}) {
    batch->excludes(check->get_option(other));
  }
  return [options] { return CheckGrammar(*options); };
}

}  // namespace retort
