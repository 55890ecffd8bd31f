#include "retort/pipeline/config.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "retort/llm/request_check.h"
#include "retort/pipeline/fake_steps_test.h"
#include "retort/pipeline/graph.h"

namespace retort {
namespace {

using ::testing::HasSubstr;

// Every problem of a pipeline, one per line; what could not be read at all counts as one.
std::string Check(std::string_view yaml, const ConfigOverrides& overrides = {}) {
  static const std::vector<StepType> types = fake::Types();
  Problems problems;
  try {
    PipelineConfig config = ParseConfig(yaml, "p.yaml", overrides, problems);
    BuildGraph(std::move(config), types, {}, problems);
  } catch (const Error& error) {
    return error.message() + "\n";
  }
  std::string text;
  for (const Problem& problem : problems.items()) text += ProblemText(problem) + "\n";
  return text;
}

constexpr std::string_view kGood = R"(name: demo
seed: 7
models:
  judge: {path: tiny, max_num_seqs: 8, kv_cache: 512MiB, kv_format: int8, generation: {temperature: 0.5}}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: b}]}
  - name: ask
    type: Ask
    llm: judge
    rounds: 2
    generation: {max_new_tokens: 9, stop: "\n"}
    output_mappings: {answer: first}
  - {name: keep, type: Keep, columns: [first, text]}
)";

TEST(Config, AGoodFileIsReadWhole) {
  Problems problems;
  PipelineConfig config = ParseConfig(kGood, "dir/p.yaml", {}, problems);
  const std::vector<StepType> types = fake::Types();
  const Graph graph = BuildGraph(config, types, {}, problems);
  problems.ThrowIfAny();
  EXPECT_EQ(graph.config.name, "demo");
  EXPECT_EQ(graph.config.seed, 7u);
  EXPECT_EQ(graph.config.base_dir, "dir");
  const ModelConfig& model = graph.config.models.at(0);
  EXPECT_EQ(model.path, "tiny");
  EXPECT_EQ(model.engine.max_num_seqs, 8);
  EXPECT_EQ(model.engine.kv_cache_bytes, 512u << 20);
  EXPECT_EQ(model.engine.kv_format, "int8");
  const GraphStep& ask = graph.steps.at(1);
  EXPECT_EQ(ask.params.Int("rounds"), 2);
  EXPECT_EQ(ask.generation.temperature, 0.5);
  EXPECT_EQ(ask.generation.max_new_tokens, 9);
  EXPECT_EQ(ask.generation.stop, std::vector<std::string>{"\n"});
  EXPECT_EQ(ask.columns, (std::vector<std::string>{"text", "first"}));
  EXPECT_EQ(graph.steps.at(2).columns, (std::vector<std::string>{"first", "text"}));
  EXPECT_EQ(graph.Leaves(), std::vector<size_t>{2});
}

TEST(Config, SetChangesTheFileBeforeItIsChecked) {
  Problems problems;
  const PipelineConfig config =
      ParseConfig(kGood, "p.yaml",
                  {"ask.rounds=5", "ask.generation.temperature=0", "models.judge.max_num_seqs=1",
                   "seed=9", "ask.prompt='01'"},
                  problems);
  problems.ThrowIfAny();
  EXPECT_EQ(config.seed, 9u);
  EXPECT_EQ(config.models.at(0).engine.max_num_seqs, 1);
  EXPECT_EQ(config.steps.at(1).generation.temperature, 0);
  EXPECT_EQ(config.steps.at(1).generation.max_new_tokens, 9);
  const Graph graph = BuildGraph(config, fake::Types(), {}, problems);
  EXPECT_EQ(graph.steps.at(1).params.Int("rounds"), 5);
  EXPECT_EQ(graph.steps.at(1).params.String("prompt"), "01");
}

struct Case {
  const char* what;
  std::string yaml;
  std::string message;  // a whole line of what is reported
};

constexpr const char* kRows = "  - {name: rows, type: Rows, data: [{text: a}]}\n";

std::string Steps(std::string_view steps) {
  return "models: {m: tiny}\nsteps:\n" + std::string(kRows) + std::string(steps);
}

TEST(Config, EachProblemIsOneClearMessageWithItsPlace) {
  const std::vector<Case> cases = {
      {"syntax", "steps: [",
       "p.yaml:1: not valid YAML: end of sequence flow not found; a text that holds ': "
       "', "
       "or begins with '{' or '[', belongs in quotes"},
      {"empty", "", "p.yaml:1: a pipeline file is a map with 'steps', found nothing"},
      {"list", "- a", "p.yaml:1: a pipeline file is a map with 'steps', found a list"},
      {"no steps", "name: x", "p.yaml:1: the pipeline has no 'steps'"},
      {"steps no list", "steps: 3", "p.yaml:1: 'steps' must be a list, found the number 3"},
      {"two documents", "a: 1\n---\nb: 2\n", "p.yaml: more than one YAML document"},
      {"tag", "steps: !!python/object [a]",
       "p.yaml:1: the tag 'tag:yaml.org,2002:python/object': a pipeline file is plain data, "
       "without tags"},
      {"null key", "steps:\n  - {null: a}\n",
       "p.yaml:2: a map key is missing (null): a key that is this word stands in quotes"},
      {"merge key", "steps:\n  - {<<: {name: a}}\n",
       "p.yaml:2: '<<' (merging maps) is not understood: write the keys out"},
      {"duplicate key", "name: a\nseed: 1\nname: b\n",
       "p.yaml:3: the key 'name' is given twice in one map"},
      {"not UTF-8", "name: a\nseed: \xff\n", "p.yaml:2: not UTF-8 text"},
      {"unknown top key", "step: []\nsteps:\n" + std::string(kRows),
       "p.yaml:1: 'pipeline' has no key 'step' (did you mean 'steps'?); it knows name, "
       "description, seed, models, steps"},
      {"seed", "seed: -1\nsteps:\n" + std::string(kRows),
       "p.yaml:1: 'pipeline.seed' must be an integer from 0 to 2^64 - 1, found the number -1"},
      {"unknown type", Steps("  - {name: a, type: Asc}"),
       "p.yaml:4: step 'a': there is no step type 'Asc' (did you mean 'Ask'?)"},
      {"unknown param", Steps("  - {name: a, type: Ask, llm: m, round: 1}"),
       "p.yaml:4: step 'a' (Ask) has no parameter 'round' (did you mean 'rounds'?)"},
      {"typo of common key", Steps("  - {name: a, type: Ask, lm: m}"),
       "p.yaml:4: step 'a' (Ask) has no parameter 'lm' (did you mean 'llm'?)"},
      {"wrong type", Steps("  - {name: a, type: Ask, llm: m, rounds: two}"),
       "p.yaml:4: step 'a': 'rounds' must be an integer from 0 to 100, found the text 'two'"},
      {"range", Steps("  - {name: a, type: Ask, llm: m, rounds: 101}"),
       "p.yaml:4: step 'a': 'rounds' must be an integer from 0 to 100, found the number 101"},
      {"float for int", Steps("  - {name: a, type: Ask, llm: m, rounds: 1.5}"),
       "p.yaml:4: step 'a': 'rounds' must be an integer from 0 to 100, found the number 1.5"},
      {"missing param", Steps("  - {name: a, type: Keep}"),
       "p.yaml:4: step 'a' (Keep) needs the parameter 'columns', a list of texts"},
      {"missing column", Steps("  - {name: a, type: Ask, llm: m, input_mappings: {text: txt}}"),
       "p.yaml:4: step 'a' (Ask) needs the column 'txt' (its 'text'), which the rows do not have "
       "there (did you mean 'text'?); they have text"},
      {"column removed upstream",
       Steps("  - {name: k, type: Split}\n  - {name: l, type: Keep, columns: part}\n"
             "  - {name: a, type: Ask, llm: m}"),
       "p.yaml:6: step 'a' (Ask) needs the column 'text', which the rows do not have there; "
       "they have part"},
      {"mapping reversed",
       Steps("  - {name: a, type: Ask, llm: m, input_mappings: {prompt: text}}"),
       "p.yaml:4: step 'a' (Ask) has no input 'prompt' (did you mean 'text: prompt'? the step's "
       "own name comes first); its inputs are text"},
      {"output mapping", Steps("  - {name: a, type: Ask, llm: m, output_mappings: {anser: x}}"),
       "p.yaml:4: step 'a' (Ask) has no output 'anser' (did you mean 'answer'?); its outputs are "
       "answer"},
      {"unknown model", Steps("  - {name: a, type: Ask, llm: n}"),
       "p.yaml:4: step 'a': no model 'n' is declared under 'models' (did you mean 'm'?)"},
      {"model needed", Steps("  - {name: a, type: Ask}"),
       "p.yaml:4: step 'a' (Ask) needs 'llm', the name of a model"},
      {"model not needed", Steps("  - {name: a, type: Split, llm: m}"),
       "p.yaml:4: step 'a' (Split) uses no model: remove 'llm'"},
      {"generation not needed", Steps("  - {name: a, type: Split, generation: {top_k: 1}}"),
       "p.yaml:4: step 'a' generates nothing: remove 'generation'"},
      {"unused model", Steps(""), "p.yaml:1: warning: the model 'm' is used by no step"},
      {"generation key", Steps("  - {name: a, type: Ask, llm: m, generation: {temprature: 1}}"),
       "p.yaml:4: 'a.generation' has no key 'temprature' (did you mean 'temperature'?); it knows "
       "temperature, top_k, top_p, min_p, max_new_tokens, stop, ignore_eos, seed"},
      {"generation range", Steps("  - {name: a, type: Ask, llm: m, generation: {top_p: 2}}"),
       "p.yaml:4: 'a.generation.top_p': top_p is 2, it must be above 0, at most 1"},
      {"not finite", Steps("  - {name: a, type: Ask, llm: m, generation: {temperature: .nan}}"),
       "p.yaml:4: 'a.generation.temperature' must be a finite number, found the number .nan"},
      {"duplicate name", Steps("  - {name: rows, type: Rows}"),
       "p.yaml:4: the name 'rows' is taken by the step at p.yaml:3"},
      {"bad name", Steps("  - {name: a b, type: Split}"),
       "p.yaml:4: the name 'a b' of a step must be 1 to 100 of the characters a-z A-Z 0-9 _ -"},
      {"reserved name", Steps("  - {name: failed, type: Split}"),
       "p.yaml:4: a step cannot be named 'failed': the run uses that name itself"},
      {"unknown after", Steps("  - {name: a, type: Split, after: row}"),
       "p.yaml:4: step 'a' comes after 'row', which is no step (did you mean 'rows'?)"},
      {"after twice", Steps("  - {name: a, type: Split, after: [rows, rows]}"),
       "p.yaml:4: step 'a' names 'rows' twice in 'after'"},
      {"cycle",
       Steps("  - {name: a, type: Split, after: c}\n  - {name: b, type: Split}\n"
             "  - {name: c, type: Split}"),
       "p.yaml:4: the steps go round in a circle: a -> b -> c -> a"},
      {"self", Steps("  - {name: a, type: Split, after: a}"),
       "p.yaml:4: the steps go round in a circle: a -> a"},
      {"source after", Steps("  - {name: a, type: Rows, after: rows}"),
       "p.yaml:4: step 'a' (Rows) makes rows and takes none: it cannot come after another step"},
      {"no source", "steps:\n  - {name: a, type: Split}\n",
       "p.yaml:2: step 'a' (Split) is the first, but makes no rows: a pipeline starts with a "
       "source"},
      {"idle source",
       Steps("  - {name: b, type: Rows, data: [{a: 1}]}\n"
             "  - {name: c, type: Split}"),
       "p.yaml:3: no step takes the rows of 'rows'"},
      {"source fails", "steps:\n  - {name: a, type: Rows, fail: no such disk}\n",
       "p.yaml:2: step 'a': no such disk"},
      {"rows twice",
       Steps("  - {name: a, type: Split}\n  - {name: b, type: Draw, after: rows}\n"
             "  - {name: c, type: Draw, after: [a, b]}"),
       "p.yaml:6: step 'c' (Draw) would get every row twice, from 'a' and from 'b': merge them "
       "with a join step first"},
      {"join of one", Steps("  - {name: a, type: Merge}"),
       "p.yaml:4: step 'a' (Merge) joins branches: 'after' must name at least two steps"},
      {"join of strangers",
       Steps("  - {name: b, type: Rows, data: [{x: 1}]}\n"
             "  - {name: c, type: Merge, after: [rows, b]}"),
       "p.yaml:5: step 'c' cannot join 'rows', 'b': their rows have no common ancestor"},
      {"join across a global step",
       Steps("  - {name: a, type: Draw, output_mappings: {number: value}}\n"
             "  - {name: s, type: Sort}\n  - {name: d, type: Draw, after: a}\n"
             "  - {name: c, type: Merge, after: [s, d]}"),
       "p.yaml:7: step 'c' cannot join 's', 'd': a step that sees all rows at once, or several "
       "data sets, lie between them and the step they part at; put it before the parting or after "
       "the join"},
      {"clash in a join",
       Steps("  - {name: a, type: Draw}\n  - {name: b, type: Draw, after: rows}\n"
             "  - {name: c, type: Merge, after: [a, b]}"),
       "p.yaml:6: step 'c' joins 'a' and 'b', which both write the column 'number': give one of "
       "them another name with 'output_mappings'"},
      {"a source makes two columns one",
       "steps:\n  - {name: a, type: Rows, data: [{x: 1}, {prompt: new, text: old}], "
       "output_mappings: {prompt: text}}\n",
       "p.yaml:2: step 'a', row 1: the columns 'prompt' and 'text' of the row would both become "
       "'text'"},
      {"the same the other way round",
       "steps:\n  - {name: a, type: Rows, data: [{text: old, prompt: new}], "
       "output_mappings: {prompt: text}}\n",
       "p.yaml:2: step 'a', row 0: the columns 'prompt' and 'text' of the row would both become "
       "'text'"},
      {"two outputs, one column",
       "steps:\n" + std::string(kRows) +
           "  - {name: a, type: Pair, output_mappings: {left: right}}\n",
       "p.yaml:3: step 'a' (Pair): its columns 'left' and 'right' would both become 'right'"},
      {"two mapped outputs, one column",
       "steps:\n" + std::string(kRows) +
           "  - {name: a, type: Pair, output_mappings: {left: x, right: x}}\n",
       "p.yaml:3: step 'a' maps both 'left' and 'right' to the column 'x'"},
      {"an output of whole rows onto a column",
       Steps("  - {name: a, type: Split, output_mappings: {part: text}}"),
       "p.yaml:4: step 'a' (Split): its columns 'text' and 'part' would both become 'text'"},
      {"a column renamed onto another",
       "steps:\n  - {name: rows, type: Rows, data: [{text: a, id: 1}]}\n"
       "  - {name: a, type: Split, output_mappings: {id: text}}\n",
       "p.yaml:3: step 'a' (Split): its columns 'text' and 'id' would both become 'text'"},
      {"one column for two inputs of whole rows",
       Steps("  - {name: a, type: Keep, columns: [x, y], input_mappings: {x: text, y: text}}"),
       "p.yaml:4: step 'a' (Keep) would see the column 'text' both as 'x' and as 'y', but it works "
       "on whole rows, in which a column has one name: give each input a column of its own"},
      {"a step that cannot take the rows",
       "steps:\n  - {name: rows, type: Rows, data: [{text: a, no: 1}]}\n"
       "  - {name: a, type: Picky}\n",
       "p.yaml:3: step 'a' (Picky): no 'no' here"},
      {"names given twice", Steps("  - {name: a, type: Keep, columns: [text, text]}"),
       "p.yaml:4: step 'a': 'columns' names \"text\" twice"},
      {"an output that replaces a column",
       Steps("  - {name: a, type: Ask, llm: m}\n  - {name: b, type: Ask, llm: m}\n"),
       "p.yaml:5: warning: step 'b' (Ask) replaces the column 'answer' of 'a': give its output "
       "another name with 'output_mappings', or write 'answer: answer' there if this is meant"},
      {"an output of whole rows that replaces a column",
       Steps("  - {name: a, type: Split}\n  - {name: b, type: Split}\n"),
       "p.yaml:5: warning: step 'b' (Split) replaces the column 'part' of 'a': give its output "
       "another name with 'output_mappings', or write 'part: part' there if this is meant"},
      {"integers beyond 64 bits",
       "steps:\n  - name: rows\n    type: Rows\n    data: [{id: 1},\n"
       "      {id: 123456789012345678901234567890}]\n",
       "p.yaml:5: step 'rows': in 'data', the number 123456789012345678901234567890 is neither an "
       "integer of 64 bits nor a finite double; in quotes it is kept as text"},
      {"infinity", "steps:\n  - {name: rows, type: Rows, data: [{id: [-.inf]}]}\n",
       "p.yaml:2: step 'rows': in 'data', the number -.inf is neither an integer of 64 bits nor a "
       "finite double; in quotes it is kept as text"},
      {"remote model",
       "models: {m: {openai: {base_urls: [http://h/v1]}}}\nsteps:\n" + std::string(kRows) +
           "  - {name: a, type: Ask, llm: m}\n",
       "p.yaml:1: model 'm' is behind an OpenAI-compatible server; this build runs models of a "
       "'path' only"},
      {"model without path", "models: {m: {dtype: auto}}\nsteps:\n" + std::string(kRows),
       "p.yaml:1: 'models.m' needs a 'path' or 'openai', one of them"},
      {"model key", "models: {m: {pth: x, path: y}}\nsteps:\n" + std::string(kRows),
       "p.yaml:1: 'models.m' has no key 'pth' (did you mean 'path'?); it knows path, openai, "
       "device_map, dtype, load, generation, instance, max_num_seqs, max_batch_tokens, "
       "prefill_chunk, context, threads, kv_cache, kv_format, prefix_cache, compute"},
      {"size", "models: {m: {path: x, kv_cache: 5 apples}}\nsteps:\n" + std::string(kRows),
       "p.yaml:1: 'models.m.kv_cache': expected a size such as 512MiB, 2GB or 4096, found '5 "
       "apples'"},
      {"duration",
       "models: {m: {path: x, load: {keep_alive: soon}}}\nsteps:\n" + std::string(kRows),
       "p.yaml:1: 'models.m.load.keep_alive': expected a time such as 300ms, 5s, 5m, 2h, 30d or 0, "
       "found 'soon'; -1 is for ever"},
      {"on_error", Steps("  - {name: a, type: Split, on_error: ignore}"),
       "p.yaml:4: 'a.on_error' must be one of keep, drop, fail, found the text 'ignore'"},
  };
  for (const Case& test : cases) {
    EXPECT_THAT(Check(test.yaml), HasSubstr(test.message + "\n")) << test.what;
  }
}

TEST(Config, RenamingThatLosesNothingIsFine) {
  for (const std::string_view steps : {
           // Swapped, and onto itself.
           "  - {name: a, type: Rows, data: [{x: 1, y: 2}], output_mappings: {x: y, y: x}}\n",
           "  - {name: a, type: Rows, data: [{x: 1, y: 2}], output_mappings: {x: x}}\n",
           // Rows of two shapes made one.
           "  - {name: a, type: Rows, data: [{x: 1}, {y: 2}], output_mappings: {x: y}}\n",
           // A column in the way of the step's own name steps aside.
           "  - {name: a, type: Rows, data: [{part: 1}]}\n"
           "  - {name: b, type: Split, output_mappings: {part: piece}}\n"
           "  - {name: c, type: Keep, columns: [part, piece]}\n",
           "  - {name: a, type: Rows, data: [{value: 1, size: 2}]}\n"
           "  - {name: b, type: Sort, input_mappings: {value: size}}\n"
           "  - {name: c, type: Keep, columns: [value, size, rows_seen]}\n",
           "  - {name: a, type: Rows, data: [{value: 1, size: 2}]}\n"
           "  - {name: b, type: Keep, columns: [value, size], input_mappings: {value: size, size: "
           "value}}\n",
           // Replaced on purpose.
           "  - {name: a, type: Rows, data: [{number: 1}]}\n"
           "  - {name: b, type: Draw, output_mappings: {number: number}}\n",
           "  - {name: a, type: Rows, data: [{x: 1}]}\n"
           "  - {name: b, type: Draw, output_mappings: {number: x}}\n",
       }) {
    EXPECT_EQ(Check("steps:\n" + std::string(steps)), "") << steps;
  }
}

TEST(Config, AllProblemsAreReportedTogether) {
  const std::string problems =
      Check(Steps("  - {name: a, type: Ask, llm: n, rounds: x}\n"
                  "  - {name: b, type: Slit}\n"
                  "  - {name: b, type: Split, parts: -1}\n"));
  EXPECT_THAT(problems, HasSubstr("no model 'n'"));
  EXPECT_THAT(problems, HasSubstr("'rounds' must be"));
  EXPECT_THAT(problems, HasSubstr("no step type 'Slit'"));
  EXPECT_THAT(problems, HasSubstr("'parts' must be an integer from 0 to 1000"));
  EXPECT_THAT(problems, HasSubstr("the name 'b' is taken"));
}

TEST(Config, BadSetArguments) {
  const struct {
    const char* set;
    const char* message;
  } cases[] = {
      {"ask", "--set ask: expected step.param=value"},
      {"rounds=1", "--set rounds=1: expected step.param=value"},
      {"akk.rounds=1", "--set akk.rounds=1: no step is named 'akk' (did you mean 'ask'?)"},
      {"models.jugde.path=x", "no model is named 'jugde' (did you mean 'judge'?)"},
      {"ask.rounds=[1", "not valid YAML"},
      {"ask.round=1", "--set ask.round=1: step 'ask' (Ask) has no parameter 'round'"},
      {"ask.rounds=x", "--set ask.rounds=x: step 'ask': 'rounds' must be an integer"},
      {"ask.rounds.x=1", "'x' cannot be set inside the number 2"},
      {"ask..x=1", "an empty name in the path 'ask..x'"},
  };
  for (const auto& test : cases) EXPECT_THAT(Check(kGood, {test.set}), HasSubstr(test.message));
}

// A pipeline's name becomes a folder's, a step's a file's.
TEST(Config, NamesLeadNowhere) {
  const auto named = [](const std::string& name) {
    return Check("name: " + name + "\nsteps:\n" + kRows + "  - {name: a, type: Split}\n");
  };
  EXPECT_EQ(named(std::string(100, 'x')), "");
  EXPECT_EQ(named("A-z_09"), "");
  for (const std::string& bad :
       {std::string("../../evil"), std::string("/evil"), std::string("a/b"), std::string(".."),
        std::string("'.'"), std::string("''"), std::string("'a b'"), std::string(101, 'x')}) {
    EXPECT_THAT(named(bad), HasSubstr("of a pipeline must be 1 to 100 of the characters")) << bad;
  }
  EXPECT_THAT(Check(kGood, {"name=../../evil"}), HasSubstr("of a pipeline must be"));
  EXPECT_THAT(Check("models: {../m: tiny}\nsteps:\n" + std::string(kRows)),
              HasSubstr("of a model must be"));
  // Without a name, the file's stands for it.
  Problems problems;
  ParseConfig(Steps("  - {name: a, type: Split}"), "/x/...yaml", {}, problems);
  ASSERT_EQ(problems.num_errors(), 1u);
  EXPECT_THAT(ProblemText(problems.items()[0]), HasSubstr("give it a 'name'"));
}

// `validate` refuses what the engine would refuse, and nothing else.
TEST(Config, SamplingSettingsHaveTheRangesOfRequests) {
  const auto check = [](const std::string& setting) {
    const std::string of_step =
        Check(Steps("  - {name: a, type: Ask, llm: m, generation: {" + setting + "}}"));
    const std::string of_model =
        Check("models: {m: {path: tiny, generation: {" + setting + "}}}\nsteps:\n" +
              std::string(kRows) + "  - {name: a, type: Ask, llm: m}");
    EXPECT_EQ(of_step.empty(), of_model.empty()) << setting;
    return of_step;
  };
  std::string stops = "stop: [a";
  for (int i = 1; i < kStopStringsMax; ++i) stops += ", a";
  for (const std::string& good :
       {std::string("temperature: 0"), std::string("temperature: 1e6"), std::string("top_k: 0"),
        std::string("top_p: 1"), std::string("top_p: 1e-30"), std::string("min_p: 0"),
        std::string("min_p: 1"), std::string("max_new_tokens: 1"), std::string("stop: x"),
        std::string("stop: []"), stops + "]", "stop: " + std::string(kStopStringBytesMax, 'x')}) {
    EXPECT_EQ(check(good), "") << good;
  }
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"temperature: -0.001", "temperature is -0.001, it must be a number from 0"},
      {"temperature: 1e39", "temperature is inf"},
      {"temperature: .inf", "must be a finite number"},
      {"temperature: true", "must be a finite number"},
      {"top_k: -1", "top_k is -1"},
      {"top_k: 1.5", "must be an integer"},
      {"top_p: 0", "top_p is 0, it must be above 0, at most 1"},
      {"top_p: 1e-60", "top_p is 0"},  // in the 32 bits of a request
      {"top_p: 1.1", "top_p is 1.1"},
      {"min_p: -0.1", "min_p is -0.1"},
      {"min_p: 1.1", "min_p is 1.1"},
      {"max_new_tokens: 0", "max_new_tokens is 0, it must be 1 or more"},
      {"max_new_tokens: 9999999999", "must be an integer"},
      {"stop: ['']", "the length of a stop string is 0"},
      {stops + ", a]", "the number of stop strings is 65, it must be at most 64"},
      {"stop: " + std::string(kStopStringBytesMax + 1, 'x'), "the length of a stop string is 4097"},
  };
  for (const auto& [setting, message] : bad) {
    EXPECT_THAT(check(setting), testing::AllOf(HasSubstr("generation."), HasSubstr(message)))
        << setting;
  }
}

TEST(Config, ASamplingSettingOutOfPlaceIsShownItsPlace) {
  for (const std::string_view key : GenerationKeys()) {
    EXPECT_THAT(Check(Steps(fmt::format("  - {{name: a, type: Ask, llm: m, {}: 1}}", key))),
                HasSubstr(fmt::format("no parameter '{0}' (did you mean 'generation.{0}'?)", key)));
  }
  EXPECT_THAT(Check(kGood, {"ask.temperature=1"}), HasSubstr("'generation.temperature'"));
  std::string known = fmt::format("{}", fmt::join(GenerationKeys(), ", "));
  EXPECT_THAT(Check(Steps("  - {name: a, type: Ask, llm: m, generation: {zebra: 1}}")),
              HasSubstr("it knows " + known));
}

TEST(Config, HostileYamlIsBounded) {
  EXPECT_THAT(Check(std::string(100'000, '[')), HasSubstr("nested deeper than 64 levels"));
  // A billion laughs.
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    laughs += fmt::format("a{}: &a{} [", i, i);
    for (int j = 0; j < 10; ++j) laughs += fmt::format("*a{},", i - 1);
    laughs += "]\n";
  }
  EXPECT_THAT(Check(laughs), HasSubstr("more than 200000 nodes"));
  std::string wide = "a: &a \"" + std::string(1 << 20, 'x') + "\"\nb: [";
  for (int i = 0; i < 1000; ++i) wide += "*a,";
  EXPECT_THAT(Check(wide + "]"), HasSubstr("bytes, aliases counted"));
  EXPECT_THAT(Check("a: &a [*a]"), HasSubstr("p.yaml:1: "));
  EXPECT_THAT(Check("? [a]\n: b"), HasSubstr("a map key must be a single word"));
}

std::string ReadBack(const std::string& yaml) {
  try {
    return DumpJson(YamlToJson(ParseYaml(yaml, "t")));
  } catch (const Error& error) {
    return "error: " + error.message();
  }
}

TEST(Config, AliasesStandForWhatTheirAnchorsHold) {
  const struct {
    const char* yaml;
    const char* json;
  } cases[] = {
      {"a: &x 1\nb: *x", R"({"a":1,"b":1})"},
      {"&k a: *k", R"({"a":"a"})"},
      {"&k a: [*k, {b: *k}]\n*k : 2", "error: t:1: the key 'a' is given twice in one map"},
      {"- &k a\n- {*k : *k}", R"(["a",{"a":"a"}])"},
      {"a: &x [1, &y {b: &z 2, *z : 3}]\nb: [*x, *y, *z]",
       R"({"a":[1,{"b":2,"2":3}],"b":[[1,{"b":2,"2":3}],{"b":2,"2":3},2]})"},
      {"a: [&x {b: 1}, [*x, &x 5], *x]", R"({"a":[{"b":1},[{"b":1},5],5]})"},
      {"{a: {&k b: &v [c], d: [*k, *v]}, e: *v}", R"({"a":{"b":["c"],"d":["b",["c"]]},"e":["c"]})"},
      {"a: &x [*x]", "error: t:1: an alias inside the node it stands for"},
  };
  for (const auto& test : cases) EXPECT_EQ(ReadBack(test.yaml), test.json) << test.yaml;
}

TEST(Config, AnchorsInsideAnchorsTakeTimeWithTheText) {
  // Each held a copy of all inside it.
  std::string list = "[x";
  for (int i = 0; i < 150'000; ++i) list += ",x";
  list += "]";
  for (int i = 0; i < kYamlDepthMax - 2; ++i) list = fmt::format("&a{} [{}]", i, list);
  const YamlNode root = ParseYaml("a: " + list, "t");
  EXPECT_EQ(root.items.size(), 1u);
  EXPECT_THAT(ReadBack("a: " + list + "\nb: *a0"), HasSubstr("more than 200000 nodes"));
}

TEST(Config, EveryBoundOfAFileHoldsExactly) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_THAT(ReadBack(nested(kYamlDepthMax)), HasSubstr("[[[["));
  EXPECT_THAT(ReadBack(nested(kYamlDepthMax + 1)), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(ReadBack("[&a [[x]], " + nested(60) + ", " + std::string(61, '[') + "*a"),
              HasSubstr("nested deeper than 64 levels"));
  const auto nodes = [](size_t num) {
    std::string list = "[x";
    for (size_t i = 2; i < num; ++i) list += ",x";
    return list + "]";
  };
  EXPECT_THAT(ReadBack(nodes(kYamlNodesMax)), HasSubstr("[\"x\",\"x\""));
  EXPECT_THAT(ReadBack(nodes(kYamlNodesMax + 1)), HasSubstr("more than 200000 nodes"));
  // An alias counts as all that it stands for.
  EXPECT_THAT(ReadBack("[&a " + nodes(kYamlNodesMax / 2) + ", *a"),
              HasSubstr("more than 200000 nodes"));
  EXPECT_EQ(ReadBack(std::string(kYamlBytesMax - 1, '#') + "\n"), "null");
  EXPECT_THAT(ReadBack(std::string(kYamlBytesMax, '#') + "\n"), HasSubstr("has at most 16777216"));
}

TEST(Config, APipelineWrittenAsJsonMayHaveSurrogatePairs) {
  EXPECT_EQ(ReadBack("\n{\n\t\"a\": \"\\ud83d\\ude00 \\u00e9 \\/ \\\\ud83d\\\\ude00\","
                     "\"\\uD834\\uDD1E\":[\"\\\\\\ud83d\\ude00\\n\"]}"),
            "{\"a\":\"😀 é / \\\\ud83d\\\\ude00\",\"𝄞\":[\"\\\\😀\\n\"]}");
  EXPECT_THAT(ReadBack("{\"a\": \"\\ud83d\"}"),
              HasSubstr("t:1: not valid YAML: invalid unicode: 55357; write the character itself"));
  // Elsewhere a backslash is one.
  EXPECT_EQ(ReadBack("a: '\\ud83d\\ude00'"), "{\"a\":\"\\\\ud83d\\\\ude00\"}");
}

TEST(Config, PlainScalarsFollowTheCoreSchema) {
  const struct {
    const char* text;
    const char* json;
  } cases[] = {
      {"~", "null"},
      {"null", "null"},
      {"", "null"},
      {"true", "true"},
      {"False", "false"},
      {"yes", "\"yes\""},
      {"12", "12"},
      {"-3", "-3"},
      {"+3", "3"},
      {"0x1F", "31"},
      {"0o17", "15"},
      {"017", "17"},
      {"1.5", "1.5"},
      {".5", "0.5"},
      {"1e3", "1000.0"},
      {"-1.", "-1.0"},
      {"1_000", "\"1_000\""},
      {"inf", "\"inf\""},
      {"nan", "\"nan\""},
      {"1.2.3", "\"1.2.3\""},
      {"'12'", "\"12\""},
      {"\"true\"", "\"true\""},
      {"18446744073709551615", "18446744073709551615"},
      {"18446744073709551616", "1.8446744073709552e+19"},
      {"1e-400", "0.0"},
      {"-1e-400", "-0.0"},
      {"0x", "\"0x\""},

      {"+-3", "\"+-3\""},
      {"2024-01-01", "\"2024-01-01\""},
  };
  for (const auto& test : cases) {
    const YamlNode node = ParseYaml(std::string("a: ") + test.text, "t");
    EXPECT_EQ(DumpJson(YamlToJson(*node.Find("a"))), test.json) << test.text;
  }
}

TEST(Config, SizesAndDurations) {
  EXPECT_EQ(ParseByteSize("4096"), 4096u);
  EXPECT_EQ(ParseByteSize("1.5KiB"), 1536u);
  EXPECT_EQ(ParseByteSize("2GB"), 2'000'000'000u);
  for (const char* bad : {"", "-1", "1e300", "x", "5 MB", "nan", "1MBB"}) {
    EXPECT_THROW(ParseByteSize(bad), Error) << bad;
  }
  EXPECT_EQ(ParseDuration("300ms").count(), 300);
  EXPECT_EQ(ParseDuration("5m").count(), 300'000);
  EXPECT_EQ(ParseDuration("7").count(), 7'000);
  EXPECT_EQ(ParseDuration("2h").count(), 7'200'000);
  EXPECT_EQ(ParseDuration("30d").count(), int64_t{30} * 86'400'000);
  EXPECT_EQ(ParseDuration("0").count(), 0);
  for (const char* bad : {"", "-1", "-2", "-1d", "-0.5h", "5w", "d", "1 d", "nan", "inf", "1e300s"})
    EXPECT_THROW(ParseDuration(bad), Error) << bad;
}

TEST(Graph, Drawings) {
  Problems problems;
  const std::vector<StepType> types = fake::Types();
  const Graph graph = BuildGraph(ParseConfig(kGood, "p.yaml", {}, problems), types, {}, problems);
  EXPECT_EQ(ToMermaid(graph),
            "flowchart TD\n"
            "  s0([\"rows<br/>Rows\"])\n  s1[\"ask<br/>Ask\"]\n  s2[\"keep<br/>Keep\"]\n"
            "  m0[(\"judge\")]\n  s0 --> s1\n  s1 --> s2\n  m0 -.- s1\n");
  EXPECT_THAT(ToDot(graph), HasSubstr("s0 -> s1;"));
  EXPECT_THAT(ToDot(graph), HasSubstr("m0 -> s1 [style=dotted"));
}

// A branch that replaced a column must win over one that only carried the old value along.
TEST(Graph, AJoinTakesAReplacedColumnFromTheBranchThatReplacedIt) {
  Problems problems;
  const std::vector<StepType> types = fake::Types();
  const Graph graph = BuildGraph(
      ParseConfig("steps:\n"
                  "  - {name: rows, type: Rows, data: [{text: a, number: 1}]}\n"
                  "  - {name: a, type: Draw, after: rows}\n"
                  "  - {name: b, type: Draw, after: rows, output_mappings: {number: other}}\n"
                  "  - {name: j, type: Merge, after: [a, b]}\n",
                  "p.yaml", {}, problems),
      types, {}, problems);
  problems.ThrowIfAny();
  EXPECT_EQ(graph.steps.at(3).fork, 0u);
  EXPECT_EQ(graph.steps.at(3).columns, (std::vector<std::string>{"text", "number", "other"}));
  EXPECT_EQ(graph.steps.at(3).stale_columns,
            (std::vector<std::vector<std::string>>{{"other"}, {"number"}}));
}

TEST(Graph, TheOrderOfBranchesDoesNotChangeWhoseColumnAJoinTakes) {
  Problems problems;
  const std::vector<StepType> types = fake::Types();
  const Graph graph = BuildGraph(
      ParseConfig("steps:\n"
                  "  - {name: rows, type: Rows, data: [{text: a, number: 1}]}\n"
                  "  - {name: a, type: Draw, after: rows, output_mappings: {number: number}}\n"
                  "  - {name: b, type: Draw, after: rows, output_mappings: {number: other}}\n"
                  "  - {name: j, type: Merge, after: [b, a]}\n"
                  "  - {name: again, type: Draw}\n",
                  "p.yaml", {}, problems),
      types, {}, problems);
  problems.ThrowIfAny();
  EXPECT_EQ(graph.steps.at(3).stale_columns,
            (std::vector<std::vector<std::string>>{{"number"}, {"other"}}));
  // The join's column is the branch's that wrote it, not the source's.
  ASSERT_EQ(problems.items().size(), 1u);
  EXPECT_THAT(problems.items()[0].message, HasSubstr("replaces the column 'number' of 'a'"));
}

}  // namespace
}  // namespace retort
