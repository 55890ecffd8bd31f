#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace retort {

// What to send with each request of one hub.
struct HttpOptions {
  std::string bearer_token;   // empty: none; never sent to another host after a redirect
  int num_attempts_max = 4;   // of one download; each continues where the one before it ended
  int retry_pause_ms = 1000;  // before the second attempt; doubles
  int connect_timeout_s = 30;
  int stall_timeout_s = 60;  // a transfer that delivers nothing for so long is broken off
};

// Fetches a document of at most `bytes_max` bytes. Throws Error{kNotFound} for 404 and 410,
// {kInvalid} for 401 and 403, {kUnavailable} for other statuses and connection failures,
// {kExhausted} if it is larger; messages name the URL.
std::string HttpGet(const std::string& url, uint64_t bytes_max, const HttpOptions& options);

// Sends a JSON document and fetches the answer, of at most `bytes_max` bytes; no second attempt.
// Throws as HttpGet; the message of {kUnavailable} for a status quotes the beginning of the answer.
std::string HttpPostJson(const std::string& url, const std::string& body, uint64_t bytes_max,
                         const HttpOptions& options);

// Downloads to `file`, continuing what is there with a Range request. `size_bytes` is the expected
// size, 0 if it is not known. `progress` gets the bytes there are so far. Broken connections are
// retried while they make progress. Throws as HttpGet, {kIo} if the file cannot be written,
// {kCorrupt} if more comes than expected.
void HttpDownload(const std::string& url, const std::filesystem::path& file, uint64_t size_bytes,
                  const HttpOptions& options, const std::function<void(uint64_t)>& progress);

}  // namespace retort
