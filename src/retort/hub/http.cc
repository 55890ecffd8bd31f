#include "retort/hub/http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <thread>

#include "retort/base/error.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

struct CurlDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDeleter>;

CurlHandle NewHandle(const std::string& url, const HttpOptions& options) {
  static const CURLcode kInitialised = curl_global_init(CURL_GLOBAL_DEFAULT);  // once a process
  CurlHandle handle(kInitialised == CURLE_OK ? curl_easy_init() : nullptr);
  if (handle == nullptr) Throw(ErrorCode::kInternal, "libcurl cannot be initialised");
  CURL* curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  // From https never down to http: a digest is not known for every file.
  const bool is_secure = url.starts_with("https://");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, is_secure ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "retort/0.1");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_timeout_s));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout_s));
  if (!options.bearer_token.empty()) {
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, options.bearer_token.c_str());
  }
  return handle;
}

long StatusOf(CURL* curl) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

[[noreturn]] void ThrowStatus(const std::string& url, long status) {
  switch (status) {
    case 404:
    case 410:
      Throw(ErrorCode::kNotFound, "{}: not found (HTTP {})", url, status);
    case 401:
    case 403:
      Throw(
          ErrorCode::kInvalid,
          "{}: access refused (HTTP {}): the name does not exist, or it needs a token in $HF_TOKEN",
          url, status);
    default:
      Throw(ErrorCode::kUnavailable, "{}: HTTP {}", url, status);
  }
}

// Where a response's body goes. An exception must not pass through libcurl, so it is kept and
// thrown after the transfer.
struct Sink {
  std::function<void(std::string_view)> take;
  std::exception_ptr failure;

  static size_t Write(char* data, size_t, size_t count, void* self) {
    auto& sink = *static_cast<Sink*>(self);
    try {
      sink.take({data, count});
    } catch (...) {
      sink.failure = std::current_exception();
      return CURL_WRITEFUNC_ERROR;
    }
    return count;
  }
};

struct Outcome {
  CURLcode code;
  long status;
};

Outcome Perform(CURL* curl, Sink& sink) {
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Sink::Write);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
  const CURLcode code = curl_easy_perform(curl);
  if (sink.failure) std::rethrow_exception(sink.failure);
  return {code, StatusOf(curl)};
}

struct HeaderListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, HeaderListDeleter>;

struct Body {
  std::string text;
  long status;
};

Body FetchBody(CURL* curl, const std::string& url, uint64_t bytes_max) {
  Body body;
  Sink sink;
  sink.take = [&](std::string_view bytes) {
    if (body.text.size() + bytes.size() > bytes_max) {
      Throw(ErrorCode::kExhausted, "{}: the answer is larger than {} bytes", url, bytes_max);
    }
    body.text += bytes;
  };
  const Outcome outcome = Perform(curl, sink);
  if (outcome.code != CURLE_OK) {
    Throw(ErrorCode::kUnavailable, "{}: {}", url, curl_easy_strerror(outcome.code));
  }
  body.status = outcome.status;
  return body;
}

// The file a download appends to.
class PartialFile {
 public:
  explicit PartialFile(const fs::path& path)
      : path_(path), descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) Fail("open");
    const off_t end = ::lseek(descriptor_, 0, SEEK_END);
    if (end < 0) Fail("seek in");
    size_ = static_cast<uint64_t>(end);
  }
  ~PartialFile() { ::close(descriptor_); }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  uint64_t size() const { return size_; }
  void Append(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) Fail("write");
      bytes.remove_prefix(static_cast<size_t>(written));
      size_ += static_cast<uint64_t>(written);
    }
  }
  void Clear() {
    if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0)
      Fail("truncate");
    size_ = 0;
  }

 private:
  [[noreturn]] void Fail(std::string_view doing) const {
    Throw(ErrorCode::kIo, "cannot {} '{}': {}", doing, path_.string(), std::strerror(errno));
  }
  fs::path path_;
  int descriptor_;
  uint64_t size_ = 0;
};

// One request for what is missing. False: the connection broke, or the server wants a fresh start.
bool DownloadRest(const std::string& url, PartialFile& file, uint64_t size_bytes,
                  const HttpOptions& options, const std::function<void(uint64_t)>& progress,
                  std::string& reason) {
  const CurlHandle handle = NewHandle(url, options);
  CURL* curl = handle.get();
  const uint64_t resumed_at = file.size();
  if (resumed_at > 0) {
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(resumed_at));
  }
  bool is_first = true;
  Sink sink;
  sink.take = [&](std::string_view bytes) {
    const long status = StatusOf(curl);
    if (status != 200 && status != 206) return;                     // an error page
    if (is_first && status == 200 && resumed_at > 0) file.Clear();  // it ignored the range
    is_first = false;
    if (size_bytes != 0 && file.size() + bytes.size() > size_bytes) {
      Throw(ErrorCode::kCorrupt, "{}: more than the expected {} bytes arrived", url, size_bytes);
    }
    file.Append(bytes);
    if (progress) progress(file.size());
  };
  const Outcome outcome = Perform(curl, sink);
  if (outcome.status == 416 || (outcome.code == CURLE_RANGE_ERROR && outcome.status < 300)) {
    // What is here is no beginning of the file, or ranges do not work there.
    file.Clear();
    reason = "the server refused to continue the partial file";
    return false;
  }
  if (outcome.status >= 400 && outcome.status < 500 && outcome.status != 408 &&
      outcome.status != 429) {
    ThrowStatus(url, outcome.status);
  }
  if (outcome.code != CURLE_OK) {
    reason = curl_easy_strerror(outcome.code);
    return false;
  }
  if (outcome.status != 200 && outcome.status != 206) {
    reason = fmt::format("HTTP {}", outcome.status);
    return false;
  }
  if (size_bytes != 0 && file.size() != size_bytes) {
    reason = fmt::format("{} of {} bytes arrived", file.size(), size_bytes);
    return false;
  }
  return true;
}

}  // namespace

std::string HttpGet(const std::string& url, uint64_t bytes_max, const HttpOptions& options) {
  const CurlHandle handle = NewHandle(url, options);
  const auto [body, status] = FetchBody(handle.get(), url, bytes_max);
  if (status != 200) ThrowStatus(url, status);
  return body;
}

std::string HttpPostJson(const std::string& url, const std::string& body, uint64_t bytes_max,
                         const HttpOptions& options) {
  const CurlHandle handle = NewHandle(url, options);
  CURL* curl = handle.get();
  const HeaderList headers(curl_slist_append(nullptr, "Content-Type: application/json"));
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
  const auto [answer, status] = FetchBody(curl, url, bytes_max);
  if (status == 404 || status == 401 || status == 403) ThrowStatus(url, status);
  if (status != 200) {
    constexpr size_t kQuotedBytes = 300;
    Throw(ErrorCode::kUnavailable, "{}: HTTP {}: {}", url, status, answer.substr(0, kQuotedBytes));
  }
  return answer;
}

void HttpDownload(const std::string& url, const fs::path& path, uint64_t size_bytes,
                  const HttpOptions& options, const std::function<void(uint64_t)>& progress) {
  PartialFile file(path);
  if (size_bytes != 0 && file.size() > size_bytes) file.Clear();
  if (size_bytes != 0 && file.size() == size_bytes) return;
  std::string reason;
  int attempts_left = options.num_attempts_max;
  std::chrono::milliseconds pause(options.retry_pause_ms);
  while (attempts_left > 0) {
    const uint64_t before = file.size();
    if (DownloadRest(url, file, size_bytes, options, progress, reason)) return;
    // A long download over a bad line may break often; only attempts without progress are counted.
    if (file.size() > before) continue;
    --attempts_left;
    std::this_thread::sleep_for(pause);
    pause *= 2;
  }
  Throw(ErrorCode::kUnavailable, "{}: {} ({} attempts brought nothing new)", url, reason,
        options.num_attempts_max);
}

}  // namespace retort
