// What a user can do wrong, and what a machine can: the exit status and the message of each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include "tests/acceptance/retort_process.h"
#include "tests/acceptance/subject.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    const auto subject = FindSubject(why);
    if (!subject) GTEST_SKIP() << why;
    subject_ = *subject;
  }

  const fs::path& folder() const { return folder_.path(); }
  Ended RunSubject(const std::vector<std::string>& more, int num_rows = 4) {
    return RunRetort(subject_.Arguments(folder(), num_rows, more), folder());
  }
  // Nothing half-finished looks finished.
  void ExpectNoOutput() const { EXPECT_FALSE(fs::exists(OutputFile(folder()))); }

  ScratchFolder folder_;
  Subject subject_;
};

struct BadCase {
  const char* what;
  std::function<std::vector<std::string>(const Subject&, const fs::path&)> arguments;
  int exit_status;
  std::vector<std::string> says;
};

fs::path Written(const fs::path& path, const std::string& text) {
  WriteText(path, text);
  return path;
}

std::vector<BadCase> BadCases() {
  using Words = std::vector<std::string>;
  const auto run = [](Words more) {
    return [more](const Subject& subject, const fs::path& folder) {
      return subject.Arguments(folder, 4, more);
    };
  };
  const auto pipeline = [](const char* text) {
    return [text](const Subject&, const fs::path& folder) {
      return Words{"run", Written(folder / "p.yaml", text).string(), "--no-cache", "--output",
                   (folder / "out").string()};
    };
  };
  return {
      {"an unknown option", run({"--limitt", "3"}), 2, {"--limitt"}},
      {"an unknown command",
       [](const auto&, const auto&) { return Words{"rum"}; },
       2,
       {"rum", "run"}},
      {"a number that is none", run({"--seed", "many"}), 2, {"--seed", "many"}},
      {"a missing pipeline",
       [](const auto&, const auto&) {
         return Words{"run", "no/such.yaml"};
       },
       2,
       {"no/such.yaml"}},
      {"YAML that does not parse",
       pipeline("name: x\nsteps: [\n"),
       2,
       {"p.yaml:2", "not valid YAML"}},
      {"a duplicate key", pipeline("name: x\nname: y\nsteps: []\n"), 2, {"p.yaml:2", "name"}},
      {"an unknown step",
       pipeline("name: x\nsteps:\n  - {name: a, type: LoadDataFromDict, data: []}\n"),
       2,
       {"p.yaml:3", "LoadDataFromDict", "LoadDataFromDicts"}},
      {"a parameter of a wrong type",
       run({"--set", "evolve_instructions.num_evolutions=often"}),
       2,
       {"num_evolutions", "often"}},
      {"a parameter that is not there",
       run({"--set", "select.data_budgit=2"}),
       2,
       {"data_budgit", "data_budget"}},
      {"a missing model",
       run({"--set", "models.judge.path=/no/such/model.gguf"}),
       2,
       {"/no/such/model.gguf"}},
      {"missing rows", run({"--input", "/no/such/rows.jsonl"}), 2, {"/no/such/rows.jsonl"}},
      {"a line that is no JSON",
       [](const Subject& subject, const fs::path& folder) {
         const fs::path rows =
             Written(folder / "rows.jsonl", "{\"prompt\": \"Hello.\"}\n{\"prompt\": \n");
         return subject.Arguments(folder, 4, {"--input", rows.string()});
       },
       2,
       {"rows.jsonl", "2"}},
      {"no rows",
       [](const Subject& subject, const fs::path& folder) {
         const fs::path rows = Written(folder / "rows.jsonl", "");
         return subject.Arguments(folder, 4, {"--input", rows.string()});
       },
       3,
       {}},
      {"an output folder that cannot be made",
       run({"--output", "/proc/retort-acceptance"}),
       5,
       {"/proc/retort-acceptance"}},
      {"an output folder that is a file",
       [](const Subject& subject, const fs::path& folder) {
         return subject.Arguments(folder, 4, {"--output", Written(folder / "file", "x").string()});
       },
       5,
       {"file"}},
      {"a cache that is something else",
       [](const Subject& subject, const fs::path& folder) {
         const std::string text(8192, 'x');
         return subject.Arguments(folder, 4,
                                  {"--cache", Written(folder / "no.sqlite", text).string()});
       },
       2,
       {"no.sqlite"}},
      {"an engine log on a full device",
       run({"--engine-log", "/dev/full"}),
       0,  // the rows matter more than the log
       {"/dev/full", "No space left"}},
  };
}

TEST_F(BadInput, IsOneClearMessage) {
  for (const BadCase& bad : BadCases()) {
    SCOPED_TRACE(bad.what);
    ScratchFolder folder;
    const Ended ended = RunRetort(bad.arguments(subject_, folder.path()), folder.path());
    EXPECT_EQ(ended.signal, 0);
    EXPECT_EQ(ended.exit_status, bad.exit_status) << ended.output;
    for (const std::string& text : bad.says) EXPECT_THAT(ended.output, HasSubstr(text));
    EXPECT_EQ(FileText(OutputFile(folder.path())).empty(), bad.exit_status != 0);
  }
}

TEST_F(BadInput, ATruncatedModelIsRefused) {
  const fs::path copy = folder() / "model";
  if (!fs::is_directory(subject_.model)) GTEST_SKIP() << "the model is no folder";
  fs::copy(subject_.model, copy, fs::copy_options::recursive);
  const fs::path weights = copy / "model.safetensors";
  fs::permissions(weights, fs::perms::owner_all, fs::perm_options::add);
  const auto size = fs::file_size(weights);
  for (const uintmax_t kept : {size - 1, size / 2, uintmax_t{100}, uintmax_t{3}, uintmax_t{0}}) {
    fs::resize_file(weights, kept);
    const Ended ended = RunSubject({"--set", "models.judge.path=" + copy.string()});
    EXPECT_EQ(ended.exit_status, 2) << kept << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("model.safetensors"));
    ExpectNoOutput();
  }
}

// One row that does not fit fails alone; the others give what they give without it.
TEST_F(BadInput, ARowLongerThanTheContextFailsAlone) {
  if (!subject_.tiny) GTEST_SKIP() << "made for a context of 512 tokens";
  const std::string first = "{\"prompt\": \"Say why bread rises.\"}\n";
  const std::string last = "{\"prompt\": \"Name three rivers.\"}\n";
  const fs::path rows = folder() / "rows.jsonl";
  WriteText(rows, first + last);
  const std::vector<std::string> more = {"--input", rows.string(), "--no-cache"};
  EXPECT_EQ(RunSubject(more).exit_status, 0);
  const std::string expected = FileText(OutputFile(folder()));
  ASSERT_FALSE(expected.empty());

  std::string text;
  for (int i = 0; i < 400; ++i) text += "river " + std::to_string(i) + " ";
  WriteText(rows, first + "{\"prompt\": \"" + text + "\"}\n" + last);
  const Ended ended = RunSubject(more);
  EXPECT_EQ(ended.exit_status, 1) << ended.output;
  EXPECT_TRUE(FileText(OutputFile(folder())) == expected);
  const std::string failed = FileText(folder() / "out" / "failed.jsonl");
  EXPECT_THAT(failed, HasSubstr("evolve_instructions"));
  EXPECT_THAT(failed, HasSubstr("512"));
}

// A disk that fills up while the run writes: a clear error, no file that looks whole, and a resume
// once there is room.
TEST_F(BadInput, AFullDiskStopsTheRunWhichGoesOnLater) {
  for (const size_t limit : {size_t{4096}, size_t{60'000}, size_t{150'000}}) {
    const Ended ended = RunRetort(subject_.Arguments(folder(), 8), folder(), limit);
    EXPECT_EQ(ended.signal, 0) << limit;
    EXPECT_EQ(ended.exit_status, 5) << limit << ": " << ended.output;
    ExpectNoOutput();
  }
  EXPECT_EQ(RunSubject({}, 8).exit_status, 0);
  const std::string resumed = FileText(OutputFile(folder()));
  EXPECT_EQ(RunSubject({"--no-cache"}, 8).exit_status, 0);
  EXPECT_TRUE(resumed == FileText(OutputFile(folder())));
}

TEST_F(BadInput, AFullFileSystemIsSaid) {
  const fs::path small = folder() / "small";
  fs::create_directory(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=16k") != 0) {
    GTEST_SKIP() << "a small file system cannot be mounted here";
  }
  const Ended output = RunSubject({"--output", (small / "out").string(), "--no-cache"}, 8);
  const Ended cache = RunSubject({"--cache", (small / "cache.sqlite").string()}, 8);
  ::umount2(small.c_str(), MNT_DETACH);
  EXPECT_EQ(output.exit_status, 5) << output.output;
  EXPECT_THAT(output.output, HasSubstr("No space left"));
  EXPECT_EQ(cache.exit_status, 5) << cache.output;
  EXPECT_THAT(cache.output, HasSubstr("cache.sqlite"));
  EXPECT_THAT(cache.output, AnyOf(HasSubstr("No space left"), HasSubstr("full")));
}

TEST_F(BadInput, AReadOnlyFileSystemIsSaid) {
  const fs::path place = folder() / "place";
  fs::create_directory(place);
  if (::mount("tmpfs", place.c_str(), "tmpfs", MS_RDONLY, "size=64k") != 0) {
    GTEST_SKIP() << "a read-only file system cannot be mounted here";
  }
  const Ended output = RunSubject({"--output", (place / "out").string()});
  const Ended cache = RunSubject({"--cache", (place / "cache.sqlite").string()});
  ::umount2(place.c_str(), MNT_DETACH);
  EXPECT_EQ(output.exit_status, 5) << output.output;
  EXPECT_THAT(output.output, HasSubstr("Read-only"));
  EXPECT_EQ(cache.exit_status, 5) << cache.output;
}

TEST_F(BadInput, ControlCStopsCleanlyAndTheRunGoesOn) {
  Subject subject = subject_;
  const int num_rows = 16;
  RetortProcess process(subject.Arguments(folder(), num_rows), folder() / "streams");
  while (process.Running() &&
         FileText(folder() / "log").find("\"tag\":\"evolve_responses/") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  process.Signal(SIGINT);
  const Ended ended = process.Wait();
  EXPECT_EQ(ended.exit_status, 130) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("run the same command again"));
  ExpectNoOutput();

  std::set<std::string> done;
  for (const EngineEvent& event : ReadEngineLog(folder() / "log")) {
    if (event.event == "done") done.insert(event.id);
  }
  EXPECT_FALSE(done.empty());
  fs::remove(folder() / "log");
  EXPECT_EQ(RunSubject({}, num_rows).exit_status, 0);
  for (const EngineEvent& event : ReadEngineLog(folder() / "log")) {
    EXPECT_FALSE(done.contains(event.id)) << event.tag << " ran again";
  }
  const std::string resumed = FileText(OutputFile(folder()));
  EXPECT_EQ(RunSubject({"--no-cache"}, num_rows).exit_status, 0);
  EXPECT_TRUE(resumed == FileText(OutputFile(folder())));
}

// A second run on the same folder is refused while the first one works.
TEST_F(BadInput, TwoRunsInOneFolderAreRefused) {
  RetortProcess first(subject_.Arguments(folder(), 30), folder() / "streams");
  while (first.Running() && FileText(folder() / "log").empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const Ended second = RunRetort(subject_.Arguments(folder(), 30), folder());
  EXPECT_TRUE(first.Running());
  EXPECT_EQ(second.exit_status, 4) << second.output;
  EXPECT_THAT(second.output, HasSubstr("in use by another run"));
  first.Signal(SIGKILL);
  first.Wait();
}

}  // namespace
}  // namespace retort
