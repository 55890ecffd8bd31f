// The program as a process: its streams, descriptors, signals and limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <set>

#include "retort/base/shared_data_test.h"
#include "tests/acceptance/retort_process.h"
#include "tests/acceptance/subject.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Process : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    const auto subject = FindSubject(why);
    if (!subject) GTEST_SKIP() << why;
    subject_ = *subject;
    if (!fs::is_directory(subject_.model)) GTEST_SKIP() << "the model is no folder";
    WriteText(folder() / "p.yaml", R"(
name: small
steps:
  - {name: load, type: LoadDataFromDicts, data: [{"a": 1}, {"a": 2}, {"a": 3}]}
  - {name: keep, type: KeepColumns, columns: [a], after: load}
)");
  }

  const fs::path& folder() const { return folder_.path(); }
  // With $MODEL, and $HOME in the folder.
  Ended Script(const std::string& script) const {
    return RunScript("export HOME=\"$FOLDER/home\"; unset RETORT_HOME XDG_CACHE_HOME\nMODEL='" +
                         subject_.model.string() + "'\n" + script,
                     folder());
  }
  void ExpectExit(int status, const std::string& script, const std::string& says = "") const {
    SCOPED_TRACE(script);
    const Ended ended = Script(script);
    EXPECT_EQ(ended.exit_status, status) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(says));
  }

  ScratchFolder folder_;
  Subject subject_;
};

// Of every command that prints a result.
constexpr const char* kPrinting[] = {
    "--help",
    "--version",
    "run --help",
    "run p.yaml --dry-run",
    "validate p.yaml",
    "graph p.yaml",
    "graph p.yaml --format dot",
    "steps",
    "steps DeitaFiltering",
    "generate $MODEL -p hi --max-new-tokens 8",
    "generate $MODEL -p hi --max-new-tokens 8 --json",
    "generate $MODEL -p hi --max-new-tokens 8 -n 2",
    "embed $MODEL hi",
    "grammar check --regex a+",
    "grammar check --regex a+ --json",
    "grammar check --batch batch.jsonl",
    "bench $MODEL --batches 1 --prompt 4 --tokens 2 --repeat 1",
    "inspect $MODEL",
    "pull here",
    "devices",
    "cache ls",
    "cache gc --max-size 1GiB",
};

TEST_F(Process, AResultThatCannotBeWrittenIsAnError) {
  WriteText(folder() / "batch.jsonl", "{\"schema\": true}\n");
  fs::create_directories(folder() / "home/.cache/retort/models/here");
  for (const char* command : kPrinting) {
    const std::string retort = std::string("$RETORT ") + command;
    ExpectExit(0, retort + " >out.txt");
    ExpectExit(5, retort + " >/dev/full", "cannot write standard output: No space left on device");
    ExpectExit(5, retort + " >&-", "cannot write standard output: Bad file descriptor");
    // A reader that has enough is no error, and nothing is said.
    ExpectExit(141, "{ sleep 0.05; " + retort + " 2>err.txt; echo $? >status.txt; } | true\n" +
                        "! grep -i 'standard output' err.txt || exit 1; exit $(<status.txt)");
  }
}

TEST_F(Process, ALongAnswerEndsWhenNobodyReadsIt) {
  const Ended ended = Script(
      "$RETORT generate $MODEL -p hi --max-new-tokens 400 --seed 1 | head -c 1 >/dev/null; "
      "exit ${PIPESTATUS[0]}");
  EXPECT_EQ(ended.exit_status, 141) << ended.output;
  EXPECT_EQ(ended.output, "");
}

TEST_F(Process, WordsThatCannotBeWrittenAreNoError) {
  const std::string run = "$RETORT run p.yaml --no-cache --output out ";
  for (const char* streams :
       {"2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full",
        "2>&1 >/dev/null | true; (exit ${PIPESTATUS[0]})"}) {
    ExpectExit(0, "rm -rf out; " + run + streams);
    EXPECT_EQ(FileText(folder() / "out/keep.jsonl"), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n")
        << streams;
    const std::string lock = FileText(folder() / "out/.retort.lock");
    EXPECT_EQ(lock.find_first_not_of("0123456789"), std::string::npos) << streams << ": " << lock;
    EXPECT_EQ(RunJson(folder()).at("outcome"), "done") << streams;
  }
  ExpectExit(2, "$RETORT run no-such.yaml 2>&-");
}

TEST_F(Process, StandardInputThatIsClosedIsAnError) {
  const std::string says = "cannot read standard input: Bad file descriptor";
  ExpectExit(5, "$RETORT generate $MODEL <&-", says);
  ExpectExit(5, "$RETORT embed $MODEL <&-", says);
  ExpectExit(5, "$RETORT grammar check --regex a --instance - <&-", says);
  ExpectExit(5, "$RETORT grammar check --batch - <&-", "cannot read standard input");
}

TEST_F(Process, AnEmptyValueIsEmpty) {
  const std::string generate = "$RETORT generate $MODEL -q --max-new-tokens 4 ";
  ExpectExit(0, generate + "--system= --json -p hi", "\"finish_reason\"");
  ExpectExit(0, "cmp <(" + generate + "--system= -p hi) <(" + generate + "--system '' -p hi)");
  ExpectExit(0, "cmp <(" + generate + "--regex= -p hi) <(echo)");
  for (const char* path : {"--output=", "--input=", "--cache=", "--engine-log=", "--output ''"}) {
    ExpectExit(2, std::string("$RETORT run p.yaml ") + path + " --quiet", "the value is empty");
  }
  for (const char* number : {"--seed=", "--limit=", "--threads="}) {
    ExpectExit(2, std::string("$RETORT run p.yaml ") + number + " --quiet",
               number[2] == 's' ? "--seed" : "--");
  }
  ExpectExit(2, "$RETORT run p.yaml --quiet=", "--quiet takes no value");
  ExpectExit(2, "$RETORT run ''", "the value is empty");
  ExpectExit(2, "$RETORT generate '' -p hi", "the value is empty");
}

TEST_F(Process, AnAnswerThatIsCutBeforeItIsWholeIsAFailure) {
  const std::string generate = "$RETORT generate $MODEL -p hi --regex '[a-z]{9}' --max-new-tokens ";
  ExpectExit(1, generate + "1", "1 of 1 answers were cut before they met the constraint");
  ExpectExit(0, generate + "9");
  ExpectExit(0, "$RETORT generate $MODEL -p hi --max-new-tokens 1");
}

TEST_F(Process, NumbersAreWhatTheySay) {
  ExpectExit(0, "$RETORT run p.yaml --seed 18446744073709551615 --limit 1");
  for (const char* number : {"18446744073709551616", "010", "-1", "1e3", "0x10", "abc"}) {
    for (const char* option : {"--seed ", "--limit ", "--threads "}) {
      ExpectExit(2, std::string("$RETORT run p.yaml ") + option + number,
                 "expected an integer of at least 0, found '" + std::string(number) + "'");
    }
  }
  ExpectExit(2, "$RETORT generate $MODEL -p hi --max-new-tokens 0", "an integer of at least 1");
}

TEST_F(Process, AMisspeltCommandIsNamedWithItsNearest) {
  ExpectExit(2, "$RETORT cahce ls", "no command is named 'cahce' (did you mean 'cache'?)");
  ExpectExit(2, "$RETORT cache lst",
             "no command is named 'lst' (did you mean 'ls'?): retort cache --help lists them");
}

TEST_F(Process, OneSeedCounts) {
  ExpectExit(0, "$RETORT run p.yaml --seed 6 --set seed=6");
  ExpectExit(2, "$RETORT run p.yaml --seed 6 --set seed=5", "contradict each other");
}

// With the tools that anybody has at hand.
TEST_F(Process, TheReportTellsWhereRowsCameFrom) {
  WriteText(folder() / "rows.jsonl", "{\"a\": 1}\n{\"a\": 2}\n");
  WriteText(folder() / "f.yaml",
            "steps:\n  - {name: load, type: LoadDataFromFileSystem, data_files: rows.jsonl}\n\n");
  ExpectExit(0, "$RETORT run f.yaml --output out");
  const Ended sums = Script("sha256sum f.yaml rows.jsonl | cut -c1-64");
  const Json report = ParseJson(FileText(folder() / "out/run.json"), "run.json");
  const Json& file = report.at("steps").at(0).at("files").at(0);
  EXPECT_EQ(report.at("pipeline_sha256").get<std::string>() + "\n" +
                file.at("sha256").get<std::string>() + "\n",
            sums.output);
  EXPECT_EQ(file.at("rows"), 2);
  EXPECT_EQ(file.at("bytes"), 18);
  EXPECT_EQ(file.at("path"), fs::canonical(folder() / "rows.jsonl").string());
}

TEST_F(Process, ArgumentsAreUtf8) {
  ExpectExit(2, "$RETORT generate $MODEL -p $'a\\xffz'", "argument 4 is no UTF-8: 'a\\xffz'");
  ExpectExit(0, "$RETORT generate $MODEL -p ä --max-new-tokens 1");
}

TEST_F(Process, EveryLineIsEmbeddedAndBlankOnesAreSaid) {
  const Ended ended = Script("printf 'a\\n\\nb\\r\\n' | $RETORT embed $MODEL 2>err.txt");
  EXPECT_EQ(ended.exit_status, 1) << ended.output;
  std::vector<Json> lines;
  std::istringstream in(ended.output);
  for (std::string line; std::getline(in, line);) lines.push_back(ParseJson(line, "line"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].at("embedding").is_array());
  EXPECT_TRUE(lines[1].at("embedding").is_null());
  EXPECT_EQ(lines[2].at("text"), "b");
  EXPECT_TRUE(lines[2].at("embedding").is_array());
  EXPECT_THAT(FileText(folder() / "err.txt"), HasSubstr("text 2 has no embedding: it is empty"));
}

// A FIFO that nobody writes to would be waited for.
TEST_F(Process, OnlyRegularFilesAreRead) {
  const std::string fifo =
      "rm -f f f.*; for i in f f.json f.gbnf f.yaml f.jsonl f.gguf f.csv; do mkfifo $i; done; ";
  const std::string says = "is a FIFO: a regular file is expected";
  for (const char* command :
       {"run f.yaml", "validate f.yaml", "graph f.yaml", "generate $MODEL -p hi --schema f.json",
        "generate $MODEL -p hi --grammar f.gbnf", "grammar check f.json",
        "grammar check --regex a --instance f", "grammar check --batch f.jsonl",
        "generate f.gguf -p hi", "generate ./f -p hi", "inspect f.gguf"}) {
    ExpectExit(2, fifo + "timeout 10 $RETORT " + command, says);
  }
  WriteText(folder() / "q.yaml", R"(
name: files
steps:
  - {name: load, type: LoadDataFromFileSystem, data_files: [f.jsonl]}
)");
  ExpectExit(2, fifo + "timeout 10 $RETORT run q.yaml --no-cache", says);
  ExpectExit(2, fifo + "timeout 10 $RETORT run q.yaml --no-cache --input f.csv", says);
  for (const char* name : {"config.json", "tokenizer.json", "generation_config.json",
                           "tokenizer_config.json", "chat_template.jinja", "model.safetensors"}) {
    ExpectExit(2,
               "rm -rf m; cp -r $MODEL m; chmod -R u+w m; rm m/" + std::string(name) +
                   "; mkfifo m/" + name + "; timeout 10 $RETORT generate ./m -p hi",
               says);
  }
  // What a shell hands over is read.
  ExpectExit(
      0,
      "$RETORT generate $MODEL -p hi --max-new-tokens 4 --close --schema <(echo '{\"enum\": [1]}')",
      "1");
  ExpectExit(0, "$RETORT grammar check --kind regex /dev/stdin <<< 'a+'", "compiled");
}

TEST_F(Process, AFifoToWriteToIsNotWaitedFor) {
  const std::string run = "rm -f f; mkfifo f; timeout 10 $RETORT run p.yaml --quiet --output ";
  ExpectExit(2, run + "out --cache f", "is no regular file");
  ExpectExit(5, run + "f --no-cache", "f");
  ExpectExit(0, run + "out --no-cache --engine-log f");  // no model, no log
  ExpectExit(0, "printf 'a\\xff' | $RETORT generate $MODEL; test $? = 2",
             "standard input is no UTF-8");
}

TEST_F(Process, AgesOfTheCacheAreTimes) {
  ASSERT_EQ(RunRetort(subject_.Arguments(folder(), 1), folder()).exit_status, 0);
  const std::string gc = "$RETORT cache --cache cache.sqlite gc --max-age ";
  for (const char* age : {"30d", "12h", "5m", "1.5h"}) {
    ExpectExit(0, gc + age, "removed 0 records");
  }
  for (const char* age : {"-1", "-1d", "30", "''", "soon", "5w"}) {
    const bool is_seconds = std::string(age) == "30";
    ExpectExit(is_seconds ? 0 : 2, gc + age, is_seconds ? "removed 0" : "expected a time such as");
  }
  ExpectExit(0, "$RETORT cache --cache cache.sqlite ls | grep -E 'step outputs +[1-9]'");
  ExpectExit(0, gc + "0 | grep -E 'removed [1-9]'");
}

TEST_F(Process, AControlCharacterIsShownAsText) {
  const std::string header =
      R"({"__metadata__":{"x\u001b[2Jy":"v\u001b]0;t\u0007"},"w\u001b[31m":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  const uint64_t size = header.size();
  const std::string file = std::string(reinterpret_cast<const char*>(&size), 8) + header + "x";
  fs::create_directory(folder() / "m");
  WriteText(folder() / "m/model.safetensors", file);
  WriteText(folder() / "m/config.json", "{\"architectures\": [\"A\\u001b[1mB\"], \"\x7f\": 1}");
  WriteText(folder() / "e.yaml", "name: \"a\\e[31mb\"\nsteps: [{name: x, type: \"y\\e[1m\"}]\n");
  for (const char* command :
       {"inspect ./m", "inspect ./m --tensors", "generate ./m -p hi", "run e.yaml",
        "validate e.yaml", "run $'no\\e[31m.yaml'", "$'\\e[31m'", "run p.yaml $'--no\\e[31m'",
        "pull $'\\e[31m'", "generate $MODEL -p hi --regex $'(\\e[31m'",
        "run p.yaml --set $'keep.\\e[31m=1'"}) {
    SCOPED_TRACE(command);
    const Ended ended = Script(std::string("$RETORT ") + command);
    EXPECT_EQ(ended.output.find('\x1b'), std::string::npos) << ended.output;
    EXPECT_EQ(ended.output.find('\x7f'), std::string::npos) << ended.output;
  }
}

TEST_F(Process, MemoryForKeysIsRefusedFirst) {
  const Ended ended = Script("$RETORT generate $MODEL -p hi --kv-cache 1TB");
  EXPECT_EQ(ended.exit_status, 4) << ended.output;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("kv_cache"), HasSubstr("1000000000000 bytes")));
  EXPECT_LT(ended.peak_rss_bytes, size_t{100} << 20);
}

TEST_F(Process, SmallLimitsAreClearErrors) {
  for (const char* kilobytes : {"300000", "150000", "90000"}) {
    SCOPED_TRACE(kilobytes);
    const std::string limit = std::string("ulimit -v ") + kilobytes + "; timeout 20 ";
    ExpectExit(0, limit + "$RETORT steps >out.txt");
    ExpectExit(0, limit + "$RETORT run p.yaml --no-cache --output out --quiet");
  }
  const Ended ended =
      Script("ulimit -v 300000; timeout 20 $RETORT generate $MODEL -p hi --max-new-tokens 2");
  EXPECT_THAT(ended.exit_status, ::testing::AnyOf(0, 4, 5)) << ended.output;
  // Descriptors: as many files as one likes, one after the other.
  ExpectExit(0, R"(
mkdir d; for i in $(seq 100); do echo '{"a": 1}' > d/$i.jsonl; done
printf 'name: many\nsteps:\n  - {name: load, type: LoadDataFromFileSystem, data_files: d}\n' > many.yaml
ulimit -n 20; $RETORT run many.yaml --no-cache --output out2 --quiet && test $(wc -l < out2/load.jsonl) = 100)");
}

// BLAS takes memory and threads as soon as it is loaded: only the step that needs it does that.
TEST_F(Process, OnlyTheStepThatNeedsItOpensBlas) {
  ExpectExit(1, "ldd $RETORT | grep -iE 'blas|lapack|gomp|gfortran'");
  WriteText(folder() / "select.yaml", R"(
name: select
steps:
  - name: load
    type: LoadDataFromDicts
    data:
      - {id: 1, evol_instruction_score: 1, evol_response_score: 2, embedding: [1, 0]}
      - {id: 2, evol_instruction_score: 2, evol_response_score: 2, embedding: [1, 0.1]}
      - {id: 3, evol_instruction_score: 1, evol_response_score: 1, embedding: [0, 1]}
  - {name: select, type: DeitaFiltering, data_budget: 5, max_similarity: 0.9}
  - {name: keep, type: KeepColumns, columns: [id]}
)");
  const std::string run = " run select.yaml --no-cache --quiet --output ";
  const auto expect_selected = [&](const char* output) {
    EXPECT_EQ(FileText(folder() / output / "keep.jsonl"), "{\"id\":2}\n{\"id\":3}\n") << output;
  };
  ExpectExit(0, "$RETORT" + run + "built");
  expect_selected("built");
  ExpectExit(4, "ulimit -v 200000; timeout 20 $RETORT" + run + "limited", "ulimit -v");
  ExpectExit(0, "cmake --install $(dirname $RETORT) --prefix usr >/dev/null && usr/bin/retort" +
                    run + "installed");
  expect_selected("installed");
  ExpectExit(2, "rm usr/lib/retort/*; usr/bin/retort" + run + "alone", "libretort_faiss.so");
}

TEST_F(Process, ALimitOfThreadsIsAClearError) {
  // Root has no such limit; another user may not see the model.
  const std::string user = "setpriv --reuid 54321 --regid 54321 --clear-groups ";
  if (Script("chmod 755 . ; " + user + "$RETORT --version && " + user + "cat $MODEL/config.json")
          .exit_status != 0) {
    GTEST_SKIP() << "no other user can be taken on here";
  }
  for (const char* limit : {"1", "2", "3", "5"}) {
    SCOPED_TRACE(limit);
    const Ended ended = Script(user + "bash -c 'ulimit -u " + limit +
                               "; HOME=/nowhere exec $0 generate $1 "
                               "-p hi --max-new-tokens 2 --threads 8' $RETORT $MODEL");
    EXPECT_THAT(ended.exit_status, ::testing::AnyOf(0, 4)) << ended.output;
    if (ended.exit_status == 4) {
      EXPECT_THAT(ended.output, HasSubstr("starts no more threads"));
    }
  }
}

TEST_F(Process, EachSignalThatAsksForAnEndStopsInOrder) {
  for (const int signal : {SIGHUP, SIGTERM, SIGINT}) {
    ScratchFolder folder;
    RetortProcess process(subject_.Arguments(folder.path(), 16), folder.path() / "streams");
    while (process.Running() && FileText(folder.path() / "log").find("done") == std::string::npos) {
      ::usleep(1000);
    }
    process.Signal(signal);
    const Ended ended = process.Wait();
    EXPECT_EQ(ended.exit_status, 130) << signal << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("run the same command again"));
    EXPECT_EQ(RunJson(folder.path()).at("outcome"), "interrupted");
  }
}

TEST_F(Process, ARunUnderNohupOutlivesItsTerminal) {
  RetortProcess process(subject_.Arguments(folder(), 8), folder() / "streams", 0, RETORT_BINARY);
  process.Wait();
  const std::string whole = FileText(OutputFile(folder()));
  ScratchFolder other;
  std::vector<std::string> arguments = subject_.Arguments(other.path(), 8);
  arguments.insert(arguments.begin(), RETORT_BINARY);
  RetortProcess under(arguments, other.path() / "streams", 0, "nohup");
  while (under.Running() && FileText(other.path() / "log").empty()) ::usleep(1000);
  under.Signal(SIGHUP);
  EXPECT_EQ(under.Wait().exit_status, 0);
  EXPECT_TRUE(FileText(OutputFile(other.path())) == whole);
}

TEST_F(Process, AnOutputFolderThatIsGoneStopsTheRun) {
  // Long before the first write: the only output is that of a step which wants all rows.
  const int num_rows = 200;
  RetortProcess process(subject_.Arguments(folder(), num_rows), folder() / "streams");
  while (process.Running() && FileText(folder() / "log").find("done") == std::string::npos) {
    ::usleep(1000);
  }
  fs::remove_all(folder() / "out");
  const Ended ended = process.Wait();
  EXPECT_EQ(ended.exit_status, 5) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("was removed or replaced"));
  std::set<std::string> begun;
  for (const EngineEvent& event : ReadEngineLog(folder() / "log")) begun.insert(event.tag);
  EXPECT_LT(begun.size(), static_cast<size_t>(num_rows));
}

TEST_F(Process, AStrangeEnvironmentIsNoMatter) {
  const std::string generate = "$RETORT generate $MODEL -p hi -q --max-new-tokens 2";
  ExpectExit(0, "unset HOME TMPDIR LANG LC_ALL; export TMPDIR=/no/such; " + generate);
  ExpectExit(0, "export LANG=xx_YY LC_ALL=xx_YY; " + generate);
  ExpectExit(0, "env -i $RETORT steps >out.txt");
  ExpectExit(5, "touch file; export RETORT_HOME=$FOLDER/file; $RETORT run p.yaml --output out",
             "cache");
  ExpectExit(2, "touch file; export RETORT_HOME=$FOLDER/file; $RETORT generate org/name -p hi",
             "is not on this machine yet");
  ExpectExit(0, "mkdir -p home; cp -r $MODEL home/m; $RETORT inspect '~/m' >out.txt");
  ExpectExit(2, "$RETORT inspect '~other/m'", "only ~/ is understood");
  ExpectExit(2, "$RETORT inspect hf://org/name", "run `retort pull org/name`");
}

}  // namespace
}  // namespace retort
