// Runs whose writes fail: every write of the ledger, of the outputs and of run.json, one after the
// other. The calls below stand before the C library's, for this program and the libraries it uses.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

#include "retort/base/error.h"
#include "retort/pipeline/ledger.h"
#include "retort/pipeline/run_harness_test.h"

namespace retort {
namespace {

// Calls on files whose path has `kMarked` in it are counted, and may fail.
constexpr const char* kMarked = "retort-test-";

struct Faults {
  std::atomic<bool> armed = false;
  std::atomic<int> num_calls = 0;
  std::atomic<int> num_syncs = 0;
  std::atomic<int> first = 0;  // the first call that fails, from 1; 0: none
  std::atomic<int> last = 0;   // the last that does

  // Whether this call fails.
  bool Count() {
    if (!armed) return false;
    const int call = ++num_calls;
    return first > 0 && call >= first && call <= last;
  }
};
Faults faults;

bool IsMarked(int descriptor) {
  if (!faults.armed) return false;
  char path[4096] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  return ::readlink(link.c_str(), path, sizeof path - 1) > 0 && std::strstr(path, kMarked);
}

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// Full disk: the call fails, or the real one is made.
template <typename Function, typename... Args>
auto Call(bool marked, const char* name, Args... args) -> decltype(Real<Function>(name)(args...)) {
  if (marked && faults.Count()) {
    errno = ENOSPC;
    return -1;
  }
  return Real<Function>(name)(args...);
}

}  // namespace
}  // namespace retort

extern "C" {
ssize_t write(int fd, const void* data, size_t size) {
  return retort::Call<ssize_t(int, const void*, size_t)>(retort::IsMarked(fd), "write", fd, data,
                                                         size);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return retort::Call<ssize_t(int, const void*, size_t, off_t)>(retort::IsMarked(fd), "pwrite", fd,
                                                                data, size, at);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  return retort::Call<ssize_t(int, const void*, size_t, off64_t)>(retort::IsMarked(fd), "pwrite64",
                                                                  fd, data, size, at);
}
int fsync(int fd) {
  if (retort::IsMarked(fd)) ++retort::faults.num_syncs;
  return retort::Call<int(int)>(retort::IsMarked(fd), "fsync", fd);
}
int fdatasync(int fd) {
  if (retort::IsMarked(fd)) ++retort::faults.num_syncs;
  return retort::Call<int(int)>(retort::IsMarked(fd), "fdatasync", fd);
}
int rename(const char* from, const char* to) noexcept {
  return retort::Call<int(const char*, const char*)>(std::strstr(to, retort::kMarked) != nullptr,
                                                     "rename", from, to);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return retort::Call<int(const char*, mode_t)>(std::strstr(path, retort::kMarked) != nullptr,
                                                "mkdir", path, mode);
}
}

namespace retort {
namespace {

namespace fs = std::filesystem;
using fake::FileText;
using testing::HasSubstr;

constexpr const char* kPipeline = R"(
seed: 4
models: {m: {path: tiny, generation: {temperature: 1}}}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: b}, {text: c}]}
  - {name: one, type: Ask, llm: m, output_mappings: {answer: first}}
  - {name: left, type: Ask, llm: m, after: one, input_mappings: {text: first}}
  - {name: right, type: Ask, llm: m, after: one, prompt: "bad ", input_mappings: {text: first}}
)";

std::string Digested(const fs::path& out) {
  std::string all;
  for (const char* name : {"left.jsonl", "right.jsonl", "failed.jsonl"}) {
    all += std::string(name) + ":\n" + FileText(out / name);
  }
  return all;
}

// One worker and one thread that answers, so that calls come in one order as far as may be.
RunReport RunOnce(const Graph& graph, const fs::path& dir, RunOptions options = {}) {
  options.num_workers = 1;
  return fake::RunGraph(graph,
                        std::make_shared<ScriptedModel>(ParseScript(Json::parse(R"j({"rules": [
                                       {"match": "(bad|ask) (\\S+)", "reply": "$2!${seed}"}]})j"),
                                                                    "script")),
                        dir, options);
}

class IoFaults : public ::testing::TestWithParam<bool> {};

// Whichever write fails, the run ends with an error that names the file or is as if nothing were;
// and the next run makes what an undisturbed one makes.
TEST_P(IoFaults, EveryWriteMayFail) {
  const bool stays_full = GetParam();
  const Graph graph = fake::MakeGraph(kPipeline);
  std::string expected;
  {
    fake::TempDir dir;
    RunOnce(graph, dir.path());
    expected = Digested(dir.path() / "out");
  }
  // Each run comes upon an earlier output, which is not to be lost either.
  const fake::TempDir before;
  RunOptions limited;
  limited.limit = 1;
  RunOnce(graph, before.path(), limited);
  const std::string earlier = Digested(before.path() / "out");
  constexpr int kWritesTriedMax = 2000;
  int num_failed = 0;
  int n = 1;
  for (bool reached = true; reached && n < kWritesTriedMax; ++n) {
    SCOPED_TRACE("call " + std::to_string(n));
    fake::TempDir dir;
    fs::copy(before.path(), dir.path(), fs::copy_options::recursive);
    faults.num_calls = 0;
    faults.first = n;
    faults.last = stays_full ? INT_MAX : n;
    faults.armed = true;
    bool failed = false;
    try {
      RunOnce(graph, dir.path());
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.code(), ErrorCode::kIo) << error.message();
      EXPECT_THAT(error.message(), HasSubstr(dir.path().string()));
    }
    faults.armed = false;
    reached = faults.num_calls >= n;
    num_failed += failed ? 1 : 0;
    if (!failed) {
      EXPECT_EQ(Digested(dir.path() / "out"), expected) << "a failed write, no error";
    }
    if (fs::exists(dir.path() / "out/run.json")) {
      EXPECT_NO_THROW(Json::parse(FileText(dir.path() / "out/run.json")));
    }
    RunOnce(graph, dir.path());
    EXPECT_EQ(Digested(dir.path() / "out"), expected);
    EXPECT_EQ(Digested(dir.path() / "out/previous"), earlier);
    const Json report = Json::parse(FileText(dir.path() / "out/previous/run.json"));
    EXPECT_EQ(report.at("rows_written"), 2);
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_LT(n, kWritesTriedMax);
  EXPECT_GT(num_failed, 10) << "of " << n;
}

INSTANTIATE_TEST_SUITE_P(OnceOrForGood, IoFaults, testing::Bool());

// The outputs of the last step are put last, and nobody waits for them but the end of the run.
TEST(IoFaults, TheLastCommitMayFail) {
  fake::TempDir dir;
  const Graph graph = fake::MakeGraph(
      "models: {m: tiny}\nsteps:\n  - {name: rows, type: Rows, data: [{text: a}]}\n"
      "  - {name: ask, type: Ask, llm: m}\n");
  RunOptions options;
  options.ledger.before_commit = [](const std::vector<LedgerRecord>& records) {
    for (const LedgerRecord& record : records) {
      if (record.kind == RecordKind::kStepOutputs) Throw(ErrorCode::kIo, "no room for outputs");
    }
  };
  try {
    RunOnce(graph, dir.path(), options);
    ADD_FAILURE() << "outputs that were not kept passed for kept";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "no room for outputs");
  }
  EXPECT_FALSE(fs::exists(dir.path() / "out/ask.jsonl"));
  const Json report = Json::parse(FileText(dir.path() / "out/run.json"));
  EXPECT_EQ(report.at("outcome"), "error");
  EXPECT_EQ(report.at("error").at("message"), "no room for outputs");
}

// A commit costs no sync: a loss of power may take the last seconds, never the file, whose log is
// synced where it begins and before it is taken over. What is given a name is synced first.
TEST(IoFaults, CommitsAreNotSyncedAndOutputsAre) {
  fake::TempDir dir;
  faults.first = 0;
  faults.num_syncs = 0;
  {
    Ledger ledger(dir.path() / "cache.sqlite");
    faults.armed = true;
    for (uint64_t i = 0; i < 100; ++i) {
      Sha256 digest;
      ledger.Put({FinishKey(digest.Field(i)), RecordKind::kCompletion, "x"});
      ledger.Flush();
    }
    faults.armed = false;
    EXPECT_EQ(ledger.num_committed(), 100u);
  }
  EXPECT_GE(faults.num_syncs, 1);
  EXPECT_LE(faults.num_syncs, 4);
  faults.num_syncs = 0;
  faults.armed = true;
  RunOnce(fake::MakeGraph(kPipeline), dir.path());
  faults.armed = false;
  EXPECT_GE(faults.num_syncs, 4);  // two outputs, failed.jsonl, run.json
}

}  // namespace
}  // namespace retort
